-- Every member of every level is, to the last digit, the sum of the cohorts of one country in it.
{%- set measures = [
    'forecast_value', 'purchase_model_value', 'combined_value', 'holt_winters_value',
    'recent_mean_value', 'actual_value_amount',
] %}
{%- set members = {
    'total': "'all'",
    'region': 'region',
    'country': 'country',
    'cohort': 'cast(cohort_month as ' ~ type_text() ~ ')',
} %}
with forecasts as (

    select *
    from {{ ref('cohort_forecast') }}

),

added as (

    {% for level, member in members.items() -%}
    select
        '{{ level }}' as group_level,
        {{ member }} as member,
        week,
        {%- for measure in measures %}
        coalesce(sum({{ measure }}), 0) as {{ measure }},
        {%- endfor %}
        count(*) as cohorts
    from forecasts
    where group_level = 'cohort_country' and {{ member }} is not null
    group by 1, 2, 3
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

told as (

    select *
    from forecasts
    where group_level != 'cohort_country'

)

select
    added.group_level,
    added.member,
    added.week,
    told.week as told_week
from added
full outer join told
    on
        added.group_level = told.group_level
        and added.member = told.member
        and added.week = told.week
where
    added.week is null
    or told.week is null
    {%- for measure in measures %}
    or added.{{ measure }} != coalesce(told.{{ measure }}, 0)
    {%- endfor %}
