-- grain: one row per model version, stratum, cutoff, frequency, age and stage: the wait for the next purchase
-- Given alive, -ln P(no purchase yet) on the days of wait_days(), in closed form: with A = alpha + T and s =
-- r + k x + j, j stages having passed, P(no purchase by t) is that of fewer than k - j arrivals of
-- NegBin(s, A / (A + t)); between two stages it is interpolated. Under paretonbd customers may leave first:
-- the density of the first purchase, times P(still there), is integrated from day to day. Of bgbb, which knows
-- months only, it rises evenly from horizon to horizon.
{%- set horizons = shaped('clv_horizons') %}
{%- set models = scored_models() %}
{%- set keys %}
                model_version, stratum, cutoff_date, frequency, age_days, stage_quarters
{%- endset %}
with tabulated as (

    select
        model_version,
        stratum,
        cutoff_date,
        frequency,
        age_days,
        {%- for horizon in horizons if 'bgbb' in models %}
        max(
            case
                when horizon_days = {{ horizon }}
                    then -ln(greatest(1 - probability_purchase, 1e-12))
            end
        ) as hazard_{{ horizon }}d,
        {%- endfor %}
        stage_quarters
    from {{ ref('int_expectations') }}
    where
        horizon_days in (
            {{ (horizons if 'bgbb' in models else [horizons | min]) | join(', ') }}
        )
    group by 1, 2, 3, 4, 5, {{ 6 + (horizons | length if 'bgbb' in models else 0) }}

),

days as (

    {% for day in wait_days() -%}
    select {{ day }} as day
    {{- '\n    union all\n    ' if not loop.last }}
    {%- endfor %}

),

season as (

    select
        model_version,
        cutoff_date,
        days_ago,
        time_ago
    from {{ ref('int_season') }}

),

-- In season-warped time if the model version has a season.
timed as (

    select
        tabulated.*,
        days.day,
        parameters.purchase_model,
        parameters.k,
        parameters.r + parameters.k * tabulated.frequency as shape,
        parameters.alpha + case
            when parameters.season is null then tabulated.age_days
            else first_day.time_ago
        end as start_time,
        parameters.s,
        parameters.beta + case
            when parameters.season is null then tabulated.age_days
            else first_day.time_ago
        end as leaving_start_time,
        case
            when parameters.season is null then cast(days.day as {{ type_double() }})
            else -day_ahead.time_ago
        end as ahead_time
    from tabulated
    cross join days
    inner join {{ ref('int_parameters') }} as parameters
        on
            tabulated.model_version = parameters.model_version
            and tabulated.stratum = parameters.stratum
            and tabulated.cutoff_date = parameters.cutoff_date
    left join season as first_day
        on
            tabulated.model_version = first_day.model_version
            and tabulated.cutoff_date = first_day.cutoff_date
            and tabulated.age_days = first_day.days_ago
    left join season as day_ahead
        on
            tabulated.model_version = day_ahead.model_version
            and tabulated.cutoff_date = day_ahead.cutoff_date
            and days.day = -day_ahead.days_ago

),

stepped as (

    select
        *,
        floor(stage_quarters / 4) as stage,
        ahead_time / (start_time + ahead_time) as arrival_chance,
        ln(start_time / (start_time + ahead_time)) as ln_stay,
        {%- if 'paretonbd' in models %}
        coalesce(
            lag(ahead_time) over (
                partition by {{- keys }}
                order by day
            ), 0.0
        ) as time_before,
        {%- endif %}
        least(floor(stage_quarters / 4) + 1, k - 1) as next_stage
    from timed

),

-- -ln P(fewer than k - j arrivals), at the stage passed last and at the next one.
waited as (

    select
        {%- if 'paretonbd' in models %}
        case
            when purchase_model = 'paretonbd'
                then {{ chance_while_there('time_before', 'ahead_time') | indent(16) }}
        end as chance_since,
        {%- endif %}
        {%- for stage in ['stage', 'next_stage'] %}
        -(shape + {{ stage }}) * ln_stay - ln(
            1.0
            + case
                when k - {{ stage }} > 1 then (shape + {{ stage }}) * arrival_chance
                else 0.0
            end
            + case
                when k - {{ stage }} > 2
                    then
                        (shape + {{ stage }}) * (shape + {{ stage }} + 1)
                        * power(arrival_chance, 2) / 2
                else 0.0
            end
            + case
                when k - {{ stage }} > 3
                    then
                        (shape + {{ stage }}) * (shape + {{ stage }} + 1)
                        * (shape + {{ stage }} + 2) * power(arrival_chance, 3) / 6
                else 0.0
            end
        ) as {{ stage }}_hazard,
        {%- endfor %}
        *
    from stepped

),

summed as (

    select
        *,
        {%- if 'paretonbd' in models %}
        sum(chance_since) over (
            partition by {{- keys }}
            order by day
            rows between unbounded preceding and current row
        ) as chance,
        {%- endif %}
        stage_hazard - ln(
            1 - (stage_quarters / 4.0 - stage) * (
                1 - exp(least(stage_hazard - next_stage_hazard, 600.0))
            )
        ) as stage_mean_hazard
    from waited

),

measured as (

    select
        model_version,
        stratum,
        cutoff_date,
        frequency,
        age_days,
        stage_quarters,
        day,
        {%- if 'paretonbd' in models or 'bgbb' in models %}
        case
            {%- if 'paretonbd' in models %}
            when purchase_model = 'paretonbd' then -ln(greatest(1 - chance, 1e-12))
            {%- endif %}
            {%- if 'bgbb' in models %}
            when purchase_model = 'bgbb'
                then {{ within_horizons('hazard_%sd', horizons, 'day') | indent(16) }}
            {%- endif %}
            else stage_mean_hazard
        end as hazard
        {%- else %}
        stage_mean_hazard as hazard
        {%- endif %}
    from summed

)

select
    model_version,
    stratum,
    frequency,
    age_days,
    stage_quarters,
    array_agg(hazard order by day) as hazards,
    cutoff_date
from measured
group by 1, 2, 3, 4, 5, 7
