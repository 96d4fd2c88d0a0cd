{# dbt-duckdb's view, of which a copy of the file under another name can be read. #}
{% macro duckdb__create_view_as(relation, sql) -%}
    {{ return(dbt.duckdb__create_view_as(relation, within_database(sql, relation.database))) }}
{%- endmacro %}

{#
    SQL without the name of the database, which DuckDB takes from the file: what is kept in the file
    and names it breaks once the file is renamed. A name that a schema has as well stays: without it
    nobody could tell which of the two is meant.
#}
{% macro within_database(sql, database) -%}
    {%- if database != target.database or database.startswith(target.schema) -%}
        {{ return(sql) }}
    {%- endif -%}
    {{ return(sql | replace(adapter.quote(database) ~ '.', '')) }}
{%- endmacro %}
