{#
    Fills dbt's relation cache before models run in parallel. dbt would query the warehouse for it at
    every command, including `dbt compile`, which would then need a network; so flag populate_cache is
    off, and this on-run-start hook fills it for commands that run.
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

{# DuckDB's adapter lists the whole schema at the first lookup of one of its relations. #}
{% macro default__remember_schema(database, schema) %}
    {%- do adapter.get_relation(database, schema, 'any') -%}
{% endmacro %}

{# BigQuery's adapter looks up one relation at a time, but takes a list, once cached, as complete. #}
{% macro bigquery__remember_schema(database, schema) %}
    {%- set all = api.Relation.create(database=database, schema=schema).without_identifier() -%}
    {%- for relation in adapter.list_relations_without_caching(all) -%}
        {%- do adapter.cache_added(relation) -%}
    {%- endfor -%}
{% endmacro %}
