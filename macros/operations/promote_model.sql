{#
    Makes a registered version the champion, and retires the one that was:
        dbt run-operation promote_model --args '{version: "2024-12-31-1a2b3c4d", reason: "…"}'
    The marts follow with
        dbt run --select customer_lifetime_value
#}
{% macro promote_model(version, reason) %}
    {%- do change_champion(version, reason) -%}
{% endmacro %}

{#
    Retires the champion, and makes the version that served before it champion again; a canary goes
    as well:
        dbt run-operation rollback_model --args '{reason: "…"}'
#}
{% macro rollback_model(reason) %}
    {%- set statuses = latest_events() -%}
    {%- set previous = run_query(
        'select statuses.model_version from (' ~ statuses ~ ') as statuses inner join '
        ~ source('clv_state', 'registry_events') ~ ' as served on statuses.model_version = '
        ~ 'served.model_version ' ~ seen('served', 'decided_on')
        ~ " where statuses.status = 'retired' and served.status = 'champion' "
        ~ 'order by served.event_number desc limit 1'
    ) -%}
    {%- if execute -%}
        {%- if previous.rows | length == 0 -%}
            {%- do exceptions.raise_compiler_error(
                'clv: no version served before the champion: there is nothing to roll back to.'
            ) -%}
        {%- endif -%}
        {%- do change_champion(previous.rows[0][0], reason) -%}
    {%- endif -%}
{% endmacro %}

{# One row per version of the log that was built last: its latest event. #}
{% macro latest_events() -%}
    select
        events.model_version,
        events.status,
        events.decided_on
    from {{ source('clv_state', 'registry_events') }} as events
    {{ seen('events', 'decided_on') }}
    qualify
        row_number() over (partition by events.model_version order by events.event_number desc)
        = 1
{%- endmacro %}

{# Appends the events that make a version the champion and retire whoever serves now. #}
{% macro change_champion(version, reason) %}
    {%- set known = run_query(
        'select count(*) as versions from (' ~ latest_events()
        ~ ") as registered where model_version = '" ~ version ~ "'"
    ) -%}
    {%- if execute -%}
        {%- if known.rows[0][0] == 0 -%}
            {%- do exceptions.raise_compiler_error(
                "clv: there is no model version '" ~ version ~ "': model_registry lists them."
            ) -%}
        {%- endif -%}
        {%- set words = (reason | string).replace('\\', ' ').replace("'", ' ') -%}
        {%- set decided_on -%}
            (select max(decided_on) from ({{ latest_events() }}) as statuses)
        {%- endset -%}
        {%- set events -%}
            select
                '{{ version }}' as model_version,
                1 as step,
                'champion' as status,
                '{{ words }}' as reason,
                {{ decided_on }} as decided_on

            union all

            select
                model_version,
                2 as step,
                'retired' as status,
                'replaced by {{ version }}: {{ words }}' as reason,
                {{ decided_on }} as decided_on
            from ({{ latest_events() }}) as statuses
            where status in ('champion', 'canary') and model_version != '{{ version }}'
        {%- endset -%}
        {%- do run_query(append_events(events, 'operator')) -%}
        {{ log('clv: ' ~ version ~ ' is the champion. Now run: dbt run --select '
            ~ 'customer_lifetime_value', info=true) }}
    {%- endif -%}
{% endmacro %}
