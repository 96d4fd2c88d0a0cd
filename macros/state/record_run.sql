{#
    Appends the result of every model, and of every failed test, to clv_state.run_results, with the
    numbers of customers to score and scored. An on-run-end hook: one insert, and none if the load was
    refused, which leaves all state unchanged.
#}
{% macro record_run(results) %}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    {%- set scores, checked = ref('customer_lifetime_value'), ref('int_as_of') -%}
    {%- set serving = ref('int_serving') -%}
    {%- if execute and flags.WHICH in ['build', 'run'] -%}
        {%- set rows = [] -%}
        {%- set succeeded = [] -%}
        {%- set refused = results | selectattr('node.name', 'equalto', 'int_as_of')
            | selectattr('status', 'equalto', 'error') | list -%}
        {%- for result in results -%}
            {%- set node, status = result.node, result.status | string -%}
            {%- if node.resource_type == 'model' or status in ['fail', 'error', 'runtime error'] -%}
                {%- if status == 'success' -%}
                    {%- do succeeded.append(node.name) -%}
                {%- endif -%}
                {%- do rows.append(run_row(result, status)) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if rows and not refused -%}
            {%- set is_scored = 'customer_lifetime_value' in succeeded -%}
            {%- set score = 'expected_purchases_365d' if var('clv_value') == 'none' else 'clv_365d' -%}
            insert into {{ source('clv_state', 'run_results') }} (
                invocation_id, node, resource_type, status, message, duration_seconds, started_at,
                rows_attempted, rows_scored, model_version, as_of_date, recorded_at
            )
            with scored as (
                {%- if is_scored %}
                select
                    sum(case when clv_source in ('withheld', 'refunds_only') then 0 else 1 end)
                        as rows_attempted,
                    sum(case when {{ is_score(score) }} then 1 else 0 end) as rows_scored,
                    (
                        select max(serving.model_version)
                        from {{ serving }} as serving
                        where serving.status = 'champion'
                    ) as model_version
                from {{ scores }}
                {%- else %}
                select
                    cast(null as {{ type_integer() }}) as rows_attempted,
                    cast(null as {{ type_integer() }}) as rows_scored,
                    cast(null as {{ type_text() }}) as model_version
                {%- endif %}
            ),
            happened as (
                {{ rows | join('\nunion all ') }}
            )
            select
                '{{ invocation_id }}',
                happened.node,
                happened.resource_type,
                happened.status,
                happened.message,
                happened.duration_seconds,
                happened.started_at,
                case
                    when happened.node = 'customer_lifetime_value' then scored.rows_attempted
                end,
                case
                    when happened.node = 'customer_lifetime_value' then scored.rows_scored
                end,
                case
                    when happened.node = 'customer_lifetime_value' then scored.model_version
                end,
                {% if 'int_as_of' in succeeded -%}
                (select as_of_date from {{ checked }}),
                {%- else -%}
                cast({{ "'" ~ var('clv_as_of_date') ~ "'" if var('clv_as_of_date') else 'null' }} as date),
                {%- endif %}
                {{ run_started() }}
            from happened
            cross join scored
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{#
    The recorded part of a message: a sentence of the project or the number of rows, else the kinds of
    error only, because databases quote values and whole statements.
    Conversion Error: Could not convert string 'jane@example.com' -> Conversion Error
#}
{% macro kept_message(message) %}
    {%- set own = modules.re.findall('(?m)^\\s*(?:[A-Z][A-Za-z ]* Error: )?(clv: .*)$', message) -%}
    {%- set number = modules.re.findall('Got [0-9]+ results?', message) -%}
    {%- set kinds = modules.re.findall('(?m)^\\s*((?:[A-Z][A-Za-z]* )*[A-Za-z]*Error)\\b', message) -%}
    {%- do return((own or number or kinds | unique | list) | join(', ')) -%}
{% endmacro %}

{# One result of dbt as a row. #}
{% macro run_row(result, status) -%}
    {%- set quiet = kept_message(result.message or '') | replace('\\', ' ') | replace("'", ' ')
        | truncate(300, true) -%}
    {%- set started = result.timing | map(attribute='started_at') | select | list -%}
    select
        '{{ result.node.name }}' as node,
        '{{ result.node.resource_type }}' as resource_type,
        '{{ status }}' as status,
        {% if status == 'success' %}cast(null as {{ type_text() }}){% else %}'{{ quiet }}'{% endif %} as message,
        {{ result.execution_time }} as duration_seconds,
        {% if started -%}
        cast('{{ (started | first).strftime("%Y-%m-%d %H:%M:%S.%f") }}' as {{ type_instant() }})
        {%- else -%}
        cast(null as {{ type_instant() }})
        {%- endif %} as started_at
{%- endmacro %}
