{#
    The date `days` (a whole number, possibly negative) after the date `from_date`.
    add_days("date '2024-02-28'", 2) -> 2024-03-01
#}
{% macro add_days(from_date, days) -%}
    {{ return(adapter.dispatch('add_days', 'clv')(from_date, days)) }}
{%- endmacro %}

{% macro default__add_days(from_date, days) -%}
    ({{ from_date }} + cast({{ days }} as integer))
{%- endmacro %}

{% macro bigquery__add_days(from_date, days) -%}
    date_add({{ from_date }}, interval {{ days }} day)
{%- endmacro %}
