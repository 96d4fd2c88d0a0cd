-- grain: one row per month of first purchase, cutoff and horizon
select
    predicted.cohort_month,
    predicted.cutoff_date,
    predicted.horizon_days,
    predicted.customers,
    predicted.value_to_date_amount,
    predicted.expected_purchases,
    predicted.expected_value,
    {{- group_bounds('predicted', 'errors') }}
    predicted.clv,
    predicted.clv / predicted.customers as clv_per_customer,
    predicted.actual_purchases,
    predicted.actual_value_amount,
    predicted.actual_purchases is not null as is_completed,
    errors.interval_source
from {{ ref('int_cohorts__predicted') }} as predicted
inner join {{ ref('int_shared_errors') }} as errors
    on
        predicted.cutoff_date = errors.cutoff_date
        and predicted.horizon_days = errors.horizon_days
        and errors.group_level = 'cohort'
