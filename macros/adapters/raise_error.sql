{#
    Stops the statement with a sentence when a row is evaluated. Use it in a `case` branch: the value
    has no type of its own.
    case when amount < 0 then raise_error("'negative'") else false end
#}
{% macro raise_error(sentence) -%}
    {{ return(adapter.dispatch('raise_error', 'clv')(sentence)) }}
{%- endmacro %}

{% macro default__raise_error(sentence) -%}
    cast(error({{ sentence }}) as boolean)
{%- endmacro %}

{% macro bigquery__raise_error(sentence) -%}
    error({{ sentence }})
{%- endmacro %}
