{#
    The date `months` (a whole number) after a first day of a month.
    add_months("date '2024-01-01'", 13) -> 2025-02-01
#}
{% macro add_months(month, months) -%}
    {{ return(adapter.dispatch('add_months', 'clv')(month, months)) }}
{%- endmacro %}

{% macro default__add_months(month, months) -%}
    cast({{ month }} + to_months(cast({{ months }} as integer)) as date)
{%- endmacro %}

{% macro bigquery__add_months(month, months) -%}
    date_add({{ month }}, interval {{ months }} month)
{%- endmacro %}
