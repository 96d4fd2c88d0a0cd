-- grain: one row per level, member and week: the year before the as-of date and the one after it
-- Weeks are counted from the as-of date, the first after it is week 1. Money is rounded for single
-- cohorts of one country, and every other level is a sum of these. The range of the total is made as in
-- int_revenue: from the variance of single customers and the error they share, scaled to the errors that
-- earlier forecasts had in weeks that have ended.
{%- set methods = forecast_methods() %}
{%- set prior_windows = 1 %}
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

    select
        cutoff_date,
        is_production
    from {{ ref('int_cutoffs') }}

),

-- The method that the backtest chose for a class of cohorts.
serving as (

    select distinct
        age_class,
        method
    from {{ ref('cohort_forecast_backtest') }}
    where is_serving

),

served as (

    select
        forecasts.*,
        cutoffs.is_production,
        coalesce(serving.method, 'purchase_model') as method
    from {{ ref('int_cohort_forecast') }} as forecasts
    inner join cutoffs
        on forecasts.cutoff_date = cutoffs.cutoff_date
    left join serving
        on
            {{ forecast_age_class('forecasts.closed_weeks') | indent(12) }}
            = serving.age_class

),

cumulated as (

    select *
    from served
    where is_production

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
    inner join cutoffs
        on cutoffs.is_production

),

-- The range of the total. At earlier cutoffs, of the cohorts whose month had ended.
totals as (

    select
        cutoff_date,
        is_production,
        day,
        sum(
            case method
                {%- for method in methods %}
                when '{{ method }}' then {{ method }}
                {%- endfor %}
            end
        ) as expected_value
    from served
    where
        mod(day, 7) = 0
        and (
            is_production
            or {{ add_months('cohort_month', 1) }} <= {{ add_days('cutoff_date', 1) }}
        )
    group by 1, 2, 3

),

weeks as (

    select
        cutoff_date,
        is_production,
        day,
        expected_value - coalesce(
            lag(expected_value) over (partition by cutoff_date order by day), 0.0
        ) as expected_value,
        -- The shortest horizon that the week lies within, or the year.
        case
            {%- for horizon in shaped('clv_horizons') if horizon < 365 %}
            when day <= {{ horizon }} then {{ horizon }}
            {%- endfor %}
            else 365
        end as horizon_days
    from totals

),

variances as (

    select
        cutoff_date,
        horizon_days,
        sum(value_variance) / nullif(sum(expected_value), 0) as variance_ratio
    from {{ ref('int_cohorts__predicted') }}
    group by 1, 2

),

varied as (

    select
        weeks.*,
        variances.variance_ratio * weeks.expected_value
        + power(errors.shared_error * weeks.expected_value, 2) as value_variance
    from weeks
    inner join variances
        on
            weeks.cutoff_date = variances.cutoff_date
            and weeks.horizon_days = variances.horizon_days
    inner join {{ ref('int_shared_errors') }} as errors
        on
            weeks.cutoff_date = errors.cutoff_date
            and weeks.horizon_days = errors.horizon_days
            and errors.group_level = 'total'

),

-- Weeks before the as-of date; `day` is their last one, counted from an earlier cutoff.
ended as (

    select
        earlier.cutoff_date,
        {{ days_between('earlier.cutoff_date', 'weekly.cutoff_date') }}
        - 7 * weekly.weeks_ago as day,
        sum(cast(weekly.value_amount as {{ type_double() }})) as actual_value
    from {{ ref('int_cohorts__weekly') }} as weekly
    inner join cutoffs
        on weekly.cutoff_date = cutoffs.cutoff_date and cutoffs.is_production
    inner join cutoffs as earlier
        on
            {{ add_months('weekly.cohort_month', 1) }}
            <= {{ add_days('earlier.cutoff_date', 1) }}
    where not earlier.is_production
    group by 1, 2

),

-- The days of a week after that cutoff lie in one week of its forecast or in two.
checked as (

    select
        ended.cutoff_date,
        ended.day,
        max(ended.actual_value) as actual_value,
        sum(varied.expected_value * (7 - abs(ended.day - varied.day))) / 7
            as expected_value,
        sum(varied.value_variance * (7 - abs(ended.day - varied.day))) / 7
            as value_variance
    from ended
    inner join varied
        on
            ended.cutoff_date = varied.cutoff_date
            and varied.day between ended.day - 6 and ended.day + 6
    group by 1, 2
    having sum(7 - abs(ended.day - varied.day)) = 7

),

squares as (

    select
        count(distinct cutoff_date) as windows,
        avg(power(actual_value - expected_value, 2) / value_variance) as squared_error
    from checked
    where value_variance > 0

),

ranges as (

    select
        varied.day,
        {{ learned_reach(
            'varied.value_variance', 'varied.expected_value', 'squares', prior_windows
        ) | indent(8) }} as reach
    from varied
    cross join squares
    where varied.is_production

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
    summed.group_level,
    concat(
        coalesce(
            cast(summed.cohort_month as {{ type_text() }}),
            summed.country,
            summed.region,
            'all'
        ),
        case
            when summed.group_level = 'cohort_country' then concat(' ', summed.country)
            else ''
        end
    ) as member,
    summed.region,
    summed.country,
    summed.cohort_month,
    summed.cutoff_date,
    summed.week,
    {{ add_days('summed.cutoff_date', '7 * summed.week - 6') }} as week_start_date,
    {{ add_days('summed.cutoff_date', '7 * summed.week') }} as week_end_date,
    {%- for measure in ['forecast'] + methods %}
    {{ as_money('summed.' ~ measure ~ '_value') }} as {{ measure }}_value,
    {%- endfor %}
    {%- for column, sign in {'lower_80': '-', 'upper_80': ''}.items() %}
    {{ as_money(
        'cast(summed.forecast_value as ' ~ type_double() ~ ') * exp('
        ~ sign ~ 'ranges.reach)'
    ) }} as {{ column }},
    {%- endfor %}
    summed.serving_method,
    {{ as_money('summed.actual_value_amount') }} as actual_value_amount
from summed
left join ranges
    on
        7 * summed.week = ranges.day
        and summed.group_level = 'total'
