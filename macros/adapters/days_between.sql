{#
    Whole days from the date `first_date` to the date `second_date`; negative when it is earlier.
    days_between("date '2024-01-01'", "date '2024-03-01'") -> 60
#}
{% macro days_between(first_date, second_date) -%}
    {{ return(adapter.dispatch('days_between', 'clv')(first_date, second_date)) }}
{%- endmacro %}

{% macro default__days_between(first_date, second_date) -%}
    date_diff('day', {{ first_date }}, {{ second_date }})
{%- endmacro %}

{% macro bigquery__days_between(first_date, second_date) -%}
    date_diff({{ second_date }}, {{ first_date }}, day)
{%- endmacro %}
