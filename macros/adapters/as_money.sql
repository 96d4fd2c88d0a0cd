{#
    A number as money, rounded half away from zero to four digits.
    as_money('10.00005') -> 10.0001
#}
{% macro as_money(expression) -%}
    {{ return(adapter.dispatch('as_money', 'clv')(expression)) }}
{%- endmacro %}

{% macro default__as_money(expression) -%}
    cast({{ expression }} as decimal(18, 4))
{%- endmacro %}

{% macro bigquery__as_money(expression) -%}
    round(cast({{ expression }} as numeric), 4)
{%- endmacro %}
