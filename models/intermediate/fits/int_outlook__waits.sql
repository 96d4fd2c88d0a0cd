-- grain: one row per model version, stratum, cutoff, frequency, age and stage: the wait for the next purchase
-- Given alive, -ln P(no purchase yet) on the days of wait_days(), in closed form: with A = alpha + T and s =
-- r + k x + j, j stages having passed, P(no purchase by t) is that of fewer than k - j arrivals of
-- NegBin(s, A / (A + t)); between two stages it is interpolated. Under paretonbd customers may leave first:
-- the density of the first purchase, times P(still there), is integrated from day to day.
{%- set models = scored_models() %}
with outlook as (

    select
        model_version,
        stratum,
        cutoff_date,
        frequency,
        age_days,
        stage_quarters
    from {{ ref('int_outlook') }}
    where horizon_days = {{ shaped('clv_horizons') | min }}

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
        outlook.*,
        days.day,
        parameters.purchase_model,
        parameters.k,
        parameters.r + parameters.k * outlook.frequency as shape,
        parameters.alpha + case
            when parameters.season is null then outlook.age_days
            else first_day.time_ago
        end as start_time,
        parameters.s,
        parameters.beta + case
            when parameters.season is null then outlook.age_days
            else first_day.time_ago
        end as leaving_start_time,
        case
            when parameters.season is null then cast(days.day as {{ type_double() }})
            else -day_ahead.time_ago
        end as ahead_time
    from outlook
    cross join days
    inner join {{ ref('int_parameters') }} as parameters
        on
            outlook.model_version = parameters.model_version
            and outlook.stratum = parameters.stratum
            and outlook.cutoff_date = parameters.cutoff_date
    left join season as first_day
        on
            outlook.model_version = first_day.model_version
            and outlook.cutoff_date = first_day.cutoff_date
            and outlook.age_days = first_day.days_ago
    left join season as day_ahead
        on
            outlook.model_version = day_ahead.model_version
            and outlook.cutoff_date = day_ahead.cutoff_date
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
                partition by
                    model_version, stratum, cutoff_date, frequency, age_days, stage_quarters
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
        *,
        {%- if 'paretonbd' in models %}
        case
            when purchase_model = 'paretonbd'
                then (ahead_time - time_before)
                * {% call(node, weight) sum_of(['node', 'weight'], legendre_nodes()) -%}
                    {%- set reached = '(time_before + ' ~ node ~ ' * (ahead_time - time_before))' -%}
                    {{ weight }} * shape / (start_time + {{ reached }}) * exp(
                        shape * ln(start_time / (start_time + {{ reached }}))
                        + s * ln(leaving_start_time / (leaving_start_time + {{ reached }}))
                    )
                {%- endcall %}
        end as chance_since,
        {%- endif %}
        {%- for stage in ['stage', 'next_stage'] %}
        -(shape + {{ stage }}) * ln_stay - ln(
            1.0
            {%- for arrivals in range(1, 4) %}
            + case
                when k - {{ stage }} > {{ arrivals }}
                    then
                        {%- for passed in range(arrivals) %}
                        {{ '* ' if not loop.first }}(shape + {{ stage }} + {{ passed }})
                        * arrival_chance / {{ passed + 1 }}.0
                        {%- endfor %}
                else 0.0
            end
            {%- endfor %}
        ) as {{ stage }}_hazard{{ ',' if not loop.last }}
        {%- endfor %}
    from stepped

),

summed as (

    select
        *,
        {%- if 'paretonbd' in models %}
        sum(chance_since) over (
            partition by
                model_version, stratum, cutoff_date, frequency, age_days, stage_quarters
            order by day
            rows between unbounded preceding and current row
        ) as chance,
        {%- endif %}
        stage_quarters / 4.0 - stage as share
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
        {%- if 'paretonbd' in models %}
        case
            when purchase_model = 'paretonbd' then -ln(greatest(1 - chance, 1e-12))
            else {% endif %}
        stage_hazard - ln(
            1 - share + share * exp(least(stage_hazard - next_stage_hazard, 600.0))
        ){{ ' end' if 'paretonbd' in models }} as hazard
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
group by
    model_version, stratum, cutoff_date, frequency, age_days, stage_quarters
