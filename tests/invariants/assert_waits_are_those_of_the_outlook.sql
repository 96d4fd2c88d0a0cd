-- Two roads to P(a purchase within the horizon), given alive: in closed form in SQL, and int_outlook's sum
-- over counts in Python. They meet at every horizon, for every purchase model, stage and season.
{%- set days = wait_days() %}
select
    outlook.model_version,
    outlook.stratum,
    outlook.cutoff_date,
    outlook.frequency,
    outlook.age_days,
    outlook.stage_quarters,
    outlook.horizon_days
from {{ ref('int_outlook') }} as outlook
left join {{ ref('int_outlook__waits') }} as waits
    on
        outlook.model_version = waits.model_version
        and outlook.stratum = waits.stratum
        and outlook.cutoff_date = waits.cutoff_date
        and outlook.frequency = waits.frequency
        and outlook.age_days = waits.age_days
        and outlook.stage_quarters = waits.stage_quarters
where
    outlook.horizon_days in ({{ shaped('clv_horizons') | join(', ') }})
    and (
        waits.model_version is null
        or abs(
            1 - outlook.probability_purchase - exp(
                -case outlook.horizon_days
                    {%- for horizon in shaped('clv_horizons') %}
                    when {{ horizon }}
                        then {{ array_at('waits.hazards', days.index(horizon)) }}
                    {%- endfor %}
                end
            )
        ) > 1e-6
    )
