{# The warehouse's current time in UTC, for rows of state only, never for models. #}
{% macro now() -%}
    {{ return(adapter.dispatch('now', 'clv')()) }}
{%- endmacro %}

{% macro default__now() -%}
    cast(timezone('UTC', current_timestamp) as timestamp)
{%- endmacro %}

{% macro bigquery__now() -%}
    current_timestamp()
{%- endmacro %}
