-- grain: one row per earlier cutoff and whole month after it that has ended by the as-of date
with months as (

    select
        *,
        abs(total_value - actual_value) as absolute_error,
        abs(naive_value - actual_value) as naive_absolute_error
    from {{ ref('int_revenue') }}
    where
        not is_production
        and share_of_month = 1
        and actual_value is not null
        and total_value is not null

)

select
    cutoff_date,
    period_month,
    existing_value,
    new_value,
    total_value,
    lower_80,
    upper_80,
    {{ as_money('actual_value') }} as actual_value_amount,
    naive_value,
    method,
    naive_method,
    sum(absolute_error) over by_cutoff / nullif(sum(actual_value) over by_cutoff, 0)
        as wape,
    sum(naive_absolute_error) over by_cutoff
    / nullif(sum(actual_value) over by_cutoff, 0) as naive_wape
from months
window by_cutoff as (partition by cutoff_date)
