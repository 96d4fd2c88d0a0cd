{#
    The statement that creates a function from values to a table.
    create_table_function(relation, {'n': 'bigint'}, 'select n') -> create … relation(n) …
    DuckDB has no argument types: the query casts them.
#}
{% macro create_table_function(relation, arguments, query) -%}
    {{ return(adapter.dispatch('create_table_function', 'clv')(relation, arguments, query)) }}
{%- endmacro %}

{% macro default__create_table_function(relation, arguments, query) -%}
    create or replace macro {{ relation }}({{ arguments.keys() | join(', ') }}) as table (
        {{ within_database(query, relation.database) }}
    )
{%- endmacro %}

{% macro bigquery__create_table_function(relation, arguments, query) -%}
    create or replace table function {{ relation }}(
        {%- for name, type in arguments.items() -%}
            {{ name }} {{ type }}{{ ', ' if not loop.last }}
        {%- endfor -%}
    ) as (
        {{ query }}
    )
{%- endmacro %}
