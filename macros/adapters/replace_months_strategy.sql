{# How an incremental model replaces whole months: used by replace_months (macros/daily). #}
{% macro default__replace_months_strategy(column, months) %}
    {#- delete+insert deletes by key and predicate; a constant key leaves the predicate. -#}
    {%- do return({
        'incremental_strategy': 'delete+insert',
        'unique_key': 'true',
        'incremental_predicates': [column ~ ' >= ' ~ months[0]],
    }) -%}
{% endmacro %}

{#
    BigQuery runs the statement without a temporary table. For dbt to compare columns it would write the rows to
    one and read them again: they are compared here instead.
#}
{% macro bigquery__replace_months_strategy(column, months) %}
    {%- if execute and model.resource_type == 'model' and load_relation(this) -%}
        {%- set there = columns_there(this) -%}
        {%- set made = model.columns.values() | map(attribute='name') | map('lower') | list -%}
        {%- if there | sort != made | sort -%}
            {%- do exceptions.raise_compiler_error(
                'clv: ' ~ this ~ ' is out of sync with this release. Run a full build first (var clv_run: full).'
            ) -%}
        {%- endif -%}
    {%- endif -%}
    {%- do return({
        'incremental_strategy': 'insert_overwrite', 'partitions': months, 'on_schema_change': 'ignore',
    }) -%}
{% endmacro %}
