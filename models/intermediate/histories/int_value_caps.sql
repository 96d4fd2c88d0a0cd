-- grain: one row per cutoff: the purchase-day value at which values are capped for the fit
-- A discrete percentile over the histogram of values: exact, and the same on every warehouse.
{%- set percentile = 0.999 %}
with histogram as (

    select
        cutoffs.cutoff_date,
        purchase_days.value_amount,
        count(*) as purchase_days
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on {{ known_at('cutoffs.cutoff_date') }}
    where purchase_days.is_purchase and purchase_days.value_amount > 0
    group by 1, 2

),

cumulated as (

    select
        cutoff_date,
        value_amount,
        sum(purchase_days) over (
            partition by cutoff_date
            order by value_amount
            rows between unbounded preceding and current row
        ) as purchase_days_up_to,
        sum(purchase_days) over (partition by cutoff_date) as purchase_days
    from histogram

)

select
    cutoff_date,
    min(value_amount) as value_cap
from cumulated
where purchase_days_up_to >= {{ percentile }} * purchase_days
group by 1
