{#
    An expression that uses a value several times. The value is a column, `name` its name in the body of
    the call block, which takes it. BigQuery inlines a column wherever it is used, so that a chain of
    them doubles at each step: there it becomes a row that the expression reads.
    {% call(one) once('node_1', 'one') %}{{ one }} * {{ one }}{% endcall %} -> 9 where node_1 is 3
#}
{% macro once(value, name) -%}
    {{ return(adapter.dispatch('once', 'clv')(value, name, caller)) }}
{%- endmacro %}

{% macro default__once(value, name, term) -%}
    {{ term(value) }}
{%- endmacro %}

{% macro bigquery__once(value, name, term) -%}
    (select {{ term(name) }} from unnest([{{ value }}]) as {{ name }})
{%- endmacro %}
