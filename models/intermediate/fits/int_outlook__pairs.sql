-- grain: one row per model version, stratum, cutoff, frequency and age that occur
with pairs as (

    select distinct
        stratum,
        cutoff_date,
        frequency,
        age_days
    from {{ ref('int_histories__observed') }}

)

select
    parameters.model_version,
    pairs.stratum,
    pairs.cutoff_date,
    pairs.frequency,
    pairs.age_days
from pairs
inner join {{ ref('int_parameters') }} as parameters
    on
        pairs.stratum = parameters.stratum
        and pairs.cutoff_date = parameters.cutoff_date
