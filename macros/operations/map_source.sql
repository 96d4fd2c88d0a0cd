{#
    Makes views that map the tables of a shop system to the input contract:
        dbt run-operation map_source --args '{source: shopify, schema: shopify}'

    Args:
        source: shopify, shopify_graphql, ga4 or woocommerce.
        schema: where its tables are.
        database: the same; null = that of the target.
        to: schema of the views, for var clv_source_schema; null = the target's schema + '_mapped'.
        prefix: of the tables of WordPress.
        show: true prints the SQL and makes nothing: for a table or a model of your own.
#}
{% macro map_source(source, schema, database=none, to=none, prefix='wp_', show=false) %}
    {%- set place = {'database': database or target.database, 'schema': schema} -%}
    {%- set to = to or target.schema ~ '_mapped' -%}
    {%- set known = ['shopify', 'shopify_graphql', 'ga4', 'woocommerce'] -%}
    {%- if source not in known -%}
        {%- do exceptions.raise_compiler_error('clv: source must be one of ' ~ known | join(', ') ~ '.') -%}
    {%- endif -%}
    {%- if source == 'ga4' -%}
        {%- set mapped = mapped_ga4(place) -%}
    {%- elif source == 'woocommerce' -%}
        {%- set mapped = mapped_woocommerce(place, prefix) -%}
    {%- else -%}
        {%- set mapped = mapped_shopify(place, is_graphql=source == 'shopify_graphql') -%}
    {%- endif -%}
    {%- for input, sql in mapped.items() if execute -%}
        {%- set view = api.Relation.create(
            database=target.database, schema=to, identifier=input, type='view'
        ) -%}
        {%- if show -%}
            {%- do print('-- ' ~ input ~ '\n' ~ sql ~ ';\n') -%}
        {%- else -%}
            {%- set found = adapter.get_relation(view.database, view.schema, view.identifier) -%}
            {%- if found and not found.is_view -%}
                {%- do exceptions.raise_compiler_error(
                    'clv: ' ~ found ~ ' is there and is no view: name another schema with `to`.'
                ) -%}
            {%- endif -%}
            {%- if loop.first -%}
                {%- do adapter.create_schema(view) -%}
            {%- endif -%}
            {%- do run_query('create or replace view ' ~ view ~ ' as\n' ~ sql) -%}
            {%- do log('clv: ' ~ view ~ ' maps ' ~ source ~ '.', info=true) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if execute and not show -%}
        {%- do adapter.commit() -%}
        {%- do log(
            'clv: set clv_source_schema: ' ~ to ~ ' in dbt_project.yml, then run scripts/build.sh.', info=true
        ) -%}
    {%- endif -%}
{% endmacro %}
