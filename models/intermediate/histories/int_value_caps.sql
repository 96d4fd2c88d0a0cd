-- grain: one row per cutoff: the purchase-day value at which values are capped for the fit
-- A discrete percentile over the histogram of values: exact, and the same on every warehouse. Customers on a
-- plan are not fitted, and do not count.
{%- set percentile = 0.999 %}
with histogram as (

    select
        cutoffs.cutoff_date,
        purchase_days.value_amount,
        count(*) as purchase_days
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on {{ known_at('cutoffs.cutoff_date') }}
    left join {{ ref('int_contracts__listed') }} as listed
        on
            purchase_days.customer_id = listed.customer_id
            and listed.billing_period_days is not null
    where
        purchase_days.is_purchase
        and purchase_days.value_amount > 0
        and listed.customer_id is null
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
