-- grain: one row per stratum, cutoff and distinct history
-- Where a forecast would be withheld nothing is fitted.
select
    stratum,
    cutoff_date,
    frequency,
    recency_days,
    age_days,
    count(*) as customers
from {{ ref('int_histories__sampled') }}
where
    cutoff_date in (
        select readiness.cutoff_date
        from {{ ref('int_readiness') }} as readiness
        where readiness.is_forecast
    )
group by 1, 2, 3, 4, 5
