{#
    Calendar months from the month of `first_date` to the month of `second_date`.
    months_between("date '2024-01-31'", "date '2024-03-01'") -> 2
#}
{% macro months_between(first_date, second_date) -%}
    {{ return(adapter.dispatch('months_between', 'clv')(first_date, second_date)) }}
{%- endmacro %}

{% macro default__months_between(first_date, second_date) -%}
    date_diff('month', {{ first_date }}, {{ second_date }})
{%- endmacro %}

{% macro bigquery__months_between(first_date, second_date) -%}
    date_diff({{ second_date }}, {{ first_date }}, month)
{%- endmacro %}
