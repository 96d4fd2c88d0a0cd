-- grain: one row per stratum, cutoff and distinct history
select
    stratum,
    cutoff_date,
    frequency,
    recency_days,
    age_days,
    count(*) as customers
from {{ ref('int_histories__sampled') }}
group by 1, 2, 3, 4, 5
