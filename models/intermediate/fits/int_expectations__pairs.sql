-- grain: one row per stratum, cutoff, frequency and age that occurs among customers
select distinct
    stratum,
    cutoff_date,
    frequency,
    age_days
from {{ ref('int_histories__observed') }}
