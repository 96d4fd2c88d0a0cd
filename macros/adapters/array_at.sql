{#
    The element of an array at a position counted from 0.
    array_at('[10, 20, 30]', 1) -> 20
#}
{% macro array_at(array, position) -%}
    {{ return(adapter.dispatch('array_at', 'clv')(array, position)) }}
{%- endmacro %}

{% macro default__array_at(array, position) -%}
    {{ array }}[{{ position }} + 1]
{%- endmacro %}

{% macro bigquery__array_at(array, position) -%}
    {{ array }}[offset({{ position }})]
{%- endmacro %}
