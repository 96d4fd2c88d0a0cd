{#
    Tells dbt which relations there are, before anything runs at once. dbt would ask the warehouse for
    that at every command, `dbt compile` too, which then needs a network; so flag populate_cache is
    off, and this, an on-run-start hook, does it for all others.
#}
{% macro remember_relations() %}
    {%- if execute and flags.WHICH != 'compile' -%}
        {%- set seen = [] -%}
        {%- for node in graph.nodes.values()
            if node.resource_type in ['model', 'seed', 'snapshot'] and (node.database, node.schema) not in seen -%}
            {%- do seen.append((node.database, node.schema)) -%}
            {%- do adapter.dispatch('remember_schema', 'clv')(node.database, node.schema) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{# DuckDB's adapter lists the whole schema when it is first asked for a relation of it. #}
{% macro default__remember_schema(database, schema) %}
    {%- do adapter.get_relation(database, schema, 'any') -%}
{% endmacro %}

{# BigQuery's asks for one relation at a time, but believes the list to be whole once it has one. #}
{% macro bigquery__remember_schema(database, schema) %}
    {%- set all = api.Relation.create(database=database, schema=schema).without_identifier() -%}
    {%- for relation in adapter.list_relations_without_caching(all) -%}
        {%- do adapter.cache_added(relation) -%}
    {%- endfor -%}
{% endmacro %}
