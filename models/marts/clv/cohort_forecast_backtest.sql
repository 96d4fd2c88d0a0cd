-- grain: one row per cutoff, horizon, level, class of cohorts and method
-- Forecasts of each method of cohort_forecast at completed cutoffs, with the actuals. The method with the
-- lowest error of single cohorts serves those of its class. A single window does not decide, because it
-- holds one Christmas or none.
{%- set methods = forecast_methods() %}
{%- set levels = {
    'total': "'all'",
    'region': 'cohorts.region',
    'country': 'cohorts.country',
    'cohort': 'cast(cohorts.cohort_month as ' ~ type_text() ~ ')',
    'cohort_country':
        "concat(cast(cohorts.cohort_month as " ~ type_text() ~ "), ' ', cohorts.country)",
} %}
with horizons as (

    {{ horizon_rows() | indent(4) }}

),

outcomes as (

    select
        compressed.cutoff_date,
        compressed.cohort_month,
        compressed.country,
        horizons.horizon_days,
        sum({{ of_horizon('compressed.actual_value') | indent(8) }})
            as actual_value_amount
    from {{ ref('int_cohorts__compressed') }} as compressed
    cross join horizons
    group by 1, 2, 3, 4

),

cohorts as (

    select
        forecasts.cutoff_date,
        forecasts.cohort_month,
        forecasts.country,
        forecasts.region,
        {{ forecast_age_class('forecasts.closed_weeks') | indent(8) }} as age_class,
        {%- for method in methods %}
        forecasts.{{ method }},
        {%- endfor %}
        outcomes.horizon_days,
        outcomes.actual_value_amount
    from {{ ref('int_cohort_forecast') }} as forecasts
    inner join outcomes
        on
            forecasts.cutoff_date = outcomes.cutoff_date
            and forecasts.cohort_month = outcomes.cohort_month
            and forecasts.country = outcomes.country
            and forecasts.day = outcomes.horizon_days
    where outcomes.actual_value_amount is not null

),

levels as (

    {% for level in levels -%}
    select
        '{{ level }}' as group_level,
        false as is_by_class

    union all

    {% endfor -%}
    select
        'cohort_country' as group_level,
        true as is_by_class

),

summed as (

    select
        levels.group_level,
        case levels.group_level
            {%- for level, member in levels.items() %}
            when '{{ level }}' then {{ member }}
            {%- endfor %}
        end as member,
        case when levels.is_by_class then cohorts.age_class else 'all' end as age_class,
        cohorts.cutoff_date,
        cohorts.horizon_days,
        {%- for method in methods %}
        sum(cohorts.{{ method }}) as {{ method }},
        {%- endfor %}
        sum(cohorts.actual_value_amount) as actual_value_amount
    from cohorts
    cross join levels
    where levels.group_level != 'region' or cohorts.region is not null
    group by 1, 2, 3, 4, 5

),

methods as (

    {% for method in methods -%}
    select
        '{{ method }}' as method,
        {{ loop.index }} as preference
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

forecasts as (

    select
        summed.cutoff_date,
        summed.horizon_days,
        summed.group_level,
        summed.age_class,
        methods.method,
        methods.preference,
        case methods.method
            {%- for method in methods %}
            when '{{ method }}' then summed.{{ method }}
            {%- endfor %}
        end as forecast_value,
        summed.actual_value_amount
    from summed
    cross join methods

),

measured as (

    select
        cutoff_date,
        horizon_days,
        group_level,
        age_class,
        method,
        preference,
        count(*) as members,
        sum(forecast_value) as forecast_value,
        sum(actual_value_amount) as actual_value_amount,
        sum(abs(forecast_value - cast(actual_value_amount as {{ type_double() }})))
            as absolute_error
    from forecasts
    group by 1, 2, 3, 4, 5, 6

),

pooled as (

    select
        *,
        sum(absolute_error) over every_cutoff
        / nullif(
            sum(cast(actual_value_amount as {{ type_double() }})) over every_cutoff, 0
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
    {{ as_money('actual_value_amount') }} as actual_value_amount,
    absolute_error / nullif(cast(actual_value_amount as {{ type_double() }}), 0)
        as wape,
    forecast_value / nullif(cast(actual_value_amount as {{ type_double() }}), 0) - 1
        as bias,
    pooled_wape,
    is_best
    and age_class != 'all'
    and horizon_days = {{ var('clv_gate_horizon_days') }} as is_serving
from ranked
