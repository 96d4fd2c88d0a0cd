-- grain: one row per cutoff, horizon, level, class of cohorts and method
-- What each method of cohort_forecast said at matured cutoffs, beside what came. The method with
-- the lowest error of single cohorts serves those of its class. One window decides nothing: it is
-- one Christmas, or one without.
{%- set methods = forecast_methods() %}
{%- set levels = {
    'total': "'all'",
    'region': 'region',
    'country': 'country',
    'cohort': 'cast(cohort_month as ' ~ type_text() ~ ')',
    'cohort_country':
        "concat(cast(cohort_month as " ~ type_text() ~ "), ' ', country)",
} %}
with outcomes as (

    {% for horizon in shaped('clv_horizons') -%}
    select
        cutoff_date,
        cohort_month,
        country,
        {{ horizon }} as horizon_days,
        sum(realised_value_{{ horizon }}d) as realised_value_amount
    from {{ ref('int_cohorts__compressed') }}
    where realised_value_{{ horizon }}d is not null
    group by 1, 2, 3
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

cohorts as (

    select
        forecasts.cutoff_date,
        forecasts.cohort_month,
        forecasts.country,
        forecasts.region,
        {{ forecast_age_class('forecasts.settled_weeks') | indent(8) }} as age_class,
        {%- for method in methods %}
        forecasts.{{ method }},
        {%- endfor %}
        outcomes.horizon_days,
        outcomes.realised_value_amount
    from {{ ref('int_cohort_forecast') }} as forecasts
    inner join outcomes
        on
            forecasts.cutoff_date = outcomes.cutoff_date
            and forecasts.cohort_month = outcomes.cohort_month
            and forecasts.country = outcomes.country
            and forecasts.day = outcomes.horizon_days

),

summed as (

    {% for level, member in levels.items() -%}
    {%- set by_class = ['age_class'] if level == 'cohort_country' else [] %}
    {%- for age_class in ["'all'"] + by_class -%}
    select
        '{{ level }}' as group_level,
        {{ member }} as member,
        {{ age_class }} as age_class,
        cutoff_date,
        horizon_days,
        {%- for method in methods %}
        sum({{ method }}) as {{ method }},
        {%- endfor %}
        sum(realised_value_amount) as realised_value_amount
    from cohorts
    {%- if level == 'region' %}
    where region is not null
    {%- endif %}
    group by 1, 2, 3, 4, 5
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

measured as (

    {% for method in methods -%}
    select
        cutoff_date,
        horizon_days,
        group_level,
        age_class,
        '{{ method }}' as method,
        {{ loop.index }} as preference,
        count(*) as members,
        sum({{ method }}) as forecast_value,
        sum(realised_value_amount) as realised_value_amount,
        sum(abs({{ method }} - cast(realised_value_amount as {{ type_double() }})))
            as absolute_error
    from summed
    group by 1, 2, 3, 4
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

pooled as (

    select
        *,
        sum(absolute_error) over every_cutoff
        / nullif(
            sum(cast(realised_value_amount as {{ type_double() }})) over every_cutoff, 0
        ) as pooled_wape,
        count(*) over every_cutoff as windows
    from measured
    window every_cutoff as (
        partition by horizon_days, group_level, age_class, method
    )

),

ranked as (

    select
        *,
        dense_rank() over (
            partition by horizon_days, group_level, age_class
            order by
                case when windows > 1 then round(pooled_wape, 9) end,
                preference
        ) = 1 as is_best
    from pooled

)

select
    cutoff_date,
    horizon_days,
    group_level,
    age_class,
    method,
    members,
    forecast_value,
    {{ as_money('realised_value_amount') }} as realised_value_amount,
    absolute_error / nullif(cast(realised_value_amount as {{ type_double() }}), 0)
        as wape,
    forecast_value / nullif(cast(realised_value_amount as {{ type_double() }}), 0) - 1
        as bias,
    pooled_wape,
    is_best
    and age_class != 'all'
    and horizon_days = {{ var('clv_gate_horizon_days') }} as is_serving
from ranked
