{#
    A cast that gives null where the value does not fit the type.
    safe_cast_to("'abc'", 'date') -> null
#}
{% macro safe_cast_to(expression, type) -%}
    {{ return(adapter.dispatch('safe_cast_to', 'clv')(expression, type)) }}
{%- endmacro %}

{% macro default__safe_cast_to(expression, type) -%}
    try_cast({{ expression }} as {{ type }})
{%- endmacro %}

{% macro bigquery__safe_cast_to(expression, type) -%}
    safe_cast({{ expression }} as {{ type }})
{%- endmacro %}
