-- grain: one row per level, member and week: the year before the as-of date and the one after it
-- Weeks are counted from the as-of date, the first after it is week 1. Money is rounded for single
-- cohorts of one country, and every other level is a sum of these.
{%- set methods = forecast_methods() %}
{%- set levels = {
    'total': {},
    'region': {'region': 'region'},
    'country': {'region': 'region', 'country': 'country'},
    'cohort': {'cohort_month': 'cohort_month'},
    'cohort_country': {
        'region': 'region', 'country': 'country', 'cohort_month': 'cohort_month'
    },
} %}
{%- set columns = {
    'region': type_text(), 'country': type_text(), 'cohort_month': 'date'
} %}
with cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}
    where is_production

),

-- The method that the backtest chose for a class of cohorts.
serving as (

    select distinct
        age_class,
        method
    from {{ ref('cohort_forecast_backtest') }}
    where is_serving

),

cumulated as (

    select
        forecasts.*,
        coalesce(serving.method, 'purchase_model') as method
    from {{ ref('int_cohort_forecast') }} as forecasts
    inner join cutoffs
        on forecasts.cutoff_date = cutoffs.cutoff_date
    left join serving
        on
            {{ forecast_age_class('forecasts.closed_weeks') | indent(12) }}
            = serving.age_class

),

ahead as (

    select
        until.cohort_month,
        until.country,
        until.region,
        until.method,
        cast(until.day / 7 as {{ type_integer() }}) as week,
        {%- for method in methods %}
        {{ as_money('until.' ~ method ~ ' - coalesce(since.' ~ method ~ ', 0)') }}
            as {{ method }}_value,
        {%- endfor %}
        cast(null as {{ type_money() }}) as actual_value_amount
    from cumulated as until
    left join cumulated as since
        on
            until.cohort_month = since.cohort_month
            and until.country = since.country
            and until.day - 7 = since.day
    where mod(until.day, 7) = 0

),

behind as (

    select
        weekly.cohort_month,
        weekly.country,
        known.region,
        cast(null as {{ type_text() }}) as method,
        -weekly.weeks_ago as week,
        {%- for method in methods %}
        cast(null as {{ type_money() }}) as {{ method }}_value,
        {%- endfor %}
        weekly.value_amount as actual_value_amount
    from {{ ref('int_cohorts__weekly') }} as weekly
    inner join cumulated as known
        on
            weekly.cutoff_date = known.cutoff_date
            and weekly.cohort_month = known.cohort_month
            and weekly.country = known.country
            and known.day = 7
    where weekly.weeks_ago < 52

),

united as (

    select *
    from ahead

    union all

    select *
    from behind

),

cohorts as (

    select
        united.*,
        case united.method
            {%- for method in methods %}
            when '{{ method }}' then united.{{ method }}_value
            {%- endfor %}
        end as forecast_value,
        cutoffs.cutoff_date
    from united
    cross join cutoffs

),

summed as (

    {% for level, keys in levels.items() -%}
    select
        '{{ level }}' as group_level,
        {%- for column, type in columns.items() %}
        {{ keys.get(column, 'cast(null as ' ~ type ~ ')') }} as {{ column }},
        {%- endfor %}
        cutoff_date,
        week,
        sum(forecast_value) as forecast_value,
        case when min(method) = max(method) then min(method) end as serving_method,
        {%- for method in methods %}
        sum({{ method }}_value) as {{ method }}_value,
        {%- endfor %}
        sum(actual_value_amount) as actual_value_amount
    from cohorts
    {%- if level == 'region' %}
    where region is not null
    {%- endif %}
    group by 1, 2, 3, 4, 5, 6
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

)

select
    group_level,
    concat(
        coalesce(
            cast(cohort_month as {{ type_text() }}), country, region, 'all'
        ),
        case when group_level = 'cohort_country' then concat(' ', country) else '' end
    ) as member,
    region,
    country,
    cohort_month,
    cutoff_date,
    week,
    {{ add_days('cutoff_date', '7 * week - 6') }} as week_start_date,
    {{ add_days('cutoff_date', '7 * week') }} as week_end_date,
    {%- for measure in ['forecast'] + methods %}
    {{ as_money(measure ~ '_value') }} as {{ measure }}_value,
    {%- endfor %}
    serving_method,
    {{ as_money('actual_value_amount') }} as actual_value_amount
from summed
