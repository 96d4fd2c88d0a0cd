{#
    The condition on tables named by day, such as events_20240131, read as one: those of whole days,
    neither of the day in progress nor of another kind. DuckDB has one table.
    select event_name from events_* where {{ daily_tables() }}
#}
{% macro daily_tables() -%}
    {{ return(adapter.dispatch('daily_tables', 'clv')()) }}
{%- endmacro %}

{% macro default__daily_tables() -%}
    true
{%- endmacro %}

{% macro bigquery__daily_tables() -%}
    length(_table_suffix) = 8
{%- endmacro %}

{# The name by which such tables are read. #}
{% macro daily_table_name(name) -%}
    {{ return(adapter.dispatch('daily_table_name', 'clv')(name)) }}
{%- endmacro %}

{% macro default__daily_table_name(name) -%}
    {{ return(name) }}
{%- endmacro %}

{% macro bigquery__daily_table_name(name) -%}
    {{ return(name ~ '_*') }}
{%- endmacro %}
