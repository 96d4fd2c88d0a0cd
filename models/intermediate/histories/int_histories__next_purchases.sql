-- grain: one row per customer and backtest cutoff: days to their next purchase, within the longest completed horizon
-- As known at the end of the horizon; a purchase refunded in full by then did not happen.
with cutoffs as (

    select
        cutoff_date,
        case
            {%- for horizon in shaped('clv_horizons') | sort(reverse=true) %}
            when {{ add_days('cutoff_date', horizon) }} <= as_of_date then {{ horizon }}
            {%- endfor %}
        end as horizon_days
    from {{ ref('int_cutoffs') }}
    where not is_production

),

observed as (

    select
        customer_id,
        cutoff_date
    from {{ ref('int_histories__observed') }}
    where {{ before_as_of('cutoff_date') }}

),

purchases as (

    select
        purchase_days.customer_id,
        cutoffs.cutoff_date,
        min(purchase_days.purchase_date) as purchase_date
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join cutoffs
        on
            purchase_days.purchase_date > cutoffs.cutoff_date
            and purchase_days.purchase_date
            <= {{ add_days('cutoffs.cutoff_date', 'cutoffs.horizon_days') }}
            and {{ known_at(add_days('cutoffs.cutoff_date', 'cutoffs.horizon_days')) }}
    where
        purchase_days.is_purchase
        and {{
            within_days('purchase_date', ([0] + shaped('clv_backtest_days')) | max)
        }}
    group by 1, 2

)

select
    observed.customer_id,
    cast(cutoffs.horizon_days as {{ type_integer() }}) as horizon_days,
    {{ days_between('observed.cutoff_date', 'purchases.purchase_date') }}
        as days_to_purchase,
    observed.cutoff_date
from observed
inner join cutoffs
    on
        observed.cutoff_date = cutoffs.cutoff_date
        and cutoffs.horizon_days is not null
left join purchases
    on
        observed.customer_id = purchases.customer_id
        and observed.cutoff_date = purchases.cutoff_date
