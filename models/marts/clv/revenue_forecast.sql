-- grain: one row per calendar month of the twelve ahead of the as-of date
select
    revenue.period_month,
    revenue.days,
    revenue.existing_value,
    revenue.new_value,
    revenue.total_value,
    revenue.lower_80,
    revenue.upper_80,
    revenue.new_customers,
    revenue.method,
    readiness.status,
    revenue.cutoff_date as as_of_date
from {{ ref('int_revenue') }} as revenue
inner join {{ ref('int_readiness') }} as readiness
    on
        revenue.cutoff_date = readiness.cutoff_date
        and revenue.horizon_days = readiness.horizon_days
where revenue.is_production
