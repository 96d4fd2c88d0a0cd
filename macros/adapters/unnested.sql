{#
    The elements of an array as rows of one column, `name`, whose fields are read as name.field. Use it
    after `from` or `cross join`, where the array's table is in reach.
    select count(*) from {{ unnested('[1, 2]', 'each') }} -> 2
#}
{% macro unnested(array, name) -%}
    {{ return(adapter.dispatch('unnested', 'clv')(array, name)) }}
{%- endmacro %}

{% macro default__unnested(array, name) -%}
    unnest({{ array }}) as all_{{ name }}({{ name }})
{%- endmacro %}

{% macro bigquery__unnested(array, name) -%}
    unnest({{ array }}) as {{ name }}
{%- endmacro %}
