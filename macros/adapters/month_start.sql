{#
    The first day of the month of a date, as a date.
    month_start("date '2024-02-29'") -> 2024-02-01
#}
{% macro month_start(date_expression) -%}
    {{ return(adapter.dispatch('month_start', 'clv')(date_expression)) }}
{%- endmacro %}

{% macro default__month_start(date_expression) -%}
    cast(date_trunc('month', {{ date_expression }}) as date)
{%- endmacro %}

{% macro bigquery__month_start(date_expression) -%}
    date_trunc({{ date_expression }}, month)
{%- endmacro %}
