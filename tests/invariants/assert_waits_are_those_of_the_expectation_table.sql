-- Two roads to P(a purchase within the horizon), given alive: in closed form in SQL, and int_expectations's sum
-- over counts in Python. They meet at every horizon, for every purchase model, stage and season.
{%- set days = wait_days() %}
select
    tabulated.model_version,
    tabulated.stratum,
    tabulated.cutoff_date,
    tabulated.frequency,
    tabulated.age_days,
    tabulated.stage_quarters,
    tabulated.horizon_days
from {{ ref('int_expectations') }} as tabulated
left join {{ ref('int_expectations__waits') }} as waits
    on
        tabulated.model_version = waits.model_version
        and tabulated.stratum = waits.stratum
        and tabulated.cutoff_date = waits.cutoff_date
        and tabulated.frequency = waits.frequency
        and tabulated.age_days = waits.age_days
        and tabulated.stage_quarters = waits.stage_quarters
where
    tabulated.horizon_days in ({{ shaped('clv_horizons') | join(', ') }})
    and (
        waits.model_version is null
        or abs(
            1 - tabulated.probability_purchase - exp(
                -case tabulated.horizon_days
                    {%- for horizon in shaped('clv_horizons') %}
                    when {{ horizon }}
                        then {{ array_at('waits.hazards', days.index(horizon)) }}
                    {%- endfor %}
                end
            )
        ) > 1e-6
    )
