{# dbt-duckdb's view, readable in a copy of the file under another name, too. #}
{% macro duckdb__create_view_as(relation, sql) -%}
    {{ return(dbt.duckdb__create_view_as(relation, within_database(sql, relation.database))) }}
{%- endmacro %}

{#
    SQL without the name of the database, which DuckDB takes from the file name: a stored view that
    names it breaks once the file is renamed. A name that is also a schema's is kept: without it the
    reference would be ambiguous.
#}
{% macro within_database(sql, database) -%}
    {%- if database != target.database or database.startswith(target.schema) -%}
        {{ return(sql) }}
    {%- endif -%}
    {{ return(sql | replace(adapter.quote(database) ~ '.', '')) }}
{%- endmacro %}
