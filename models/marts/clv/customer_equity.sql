-- grain: one row per cutoff and horizon: all customers who had bought by the cutoff, in total
with predicted as (

    select
        cutoff_date,
        horizon_days,
        sum(customers) as customers,
        sum(expected_purchases) as expected_purchases,
        sum(expected_value) as expected_value,
        sum(value_variance) as value_variance,
        sum(clv) as clv,
        sum(actual_purchases) as actual_purchases,
        sum(actual_value_amount) as actual_value_amount
    from {{ ref('int_cohorts__predicted') }}
    group by 1, 2

)

select
    predicted.cutoff_date,
    predicted.horizon_days,
    cutoffs.is_production,
    cast(predicted.customers as {{ type_integer() }}) as customers,
    predicted.expected_purchases,
    predicted.clv,
    predicted.expected_value,
    {{- group_bounds('predicted', 'errors') }}
    errors.shared_error,
    errors.windows,
    errors.learned_horizon_days,
    errors.interval_source,
    cast(predicted.actual_purchases as {{ type_integer() }}) as actual_purchases,
    {{ as_money('predicted.actual_value_amount') }} as actual_value_amount,
    predicted.actual_purchases is not null as is_completed
from predicted
inner join {{ ref('int_cutoffs') }} as cutoffs
    on predicted.cutoff_date = cutoffs.cutoff_date
inner join {{ ref('int_shared_errors') }} as errors
    on
        predicted.cutoff_date = errors.cutoff_date
        and predicted.horizon_days = errors.horizon_days
        and errors.group_level = 'total'
