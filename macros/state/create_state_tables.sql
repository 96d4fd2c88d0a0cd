{#
    Creates missing tables of state, and adds the columns of a new release to them and to stateful
    models. Never drops anything.
#}
{% macro create_state_tables() %}
    {%- if execute and flags.WHICH in ['build', 'run', 'seed', 'snapshot', 'test'] -%}
        {%- set statements = [] -%}
        {%- for table, columns in state_tables().items() -%}
            {#- Not source(), which an empty build turns into a query without rows. -#}
            {%- set relation = api.Relation.create(
                database=target.database, schema=target.schema ~ '_state', identifier=table
            ) -%}
            {%- set found = columns_there(relation) -%}
            {%- if found -%}
                {%- do statements.extend(add_columns(relation, found, columns)) -%}
            {%- else -%}
                {%- do statements.append(create_state_table(relation, columns)) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- for model, schema in state_models().items() -%}
            {%- set relation = api.Relation.create(
                database=target.database, schema=target.schema ~ schema, identifier=model
            ) -%}
            {%- set found = columns_there(relation) -%}
            {%- if found -%}
                {%- do statements.extend(add_columns(relation, found, {'log_id': type_text()})) -%}
            {%- endif -%}
        {%- endfor -%}
        {#- BigQuery refuses `create schema` without the permission, even if the dataset exists. -#}
        {%- set is_there = adapter.check_schema_exists(target.database, target.schema ~ '_state') -%}
        {#- The lookup began a transaction, which the end of the hook would roll back. -#}
        {%- do adapter.commit() -%}
        {%- if not is_there -%}
            {%- do adapter.create_schema(
                api.Relation.create(database=target.database, schema=target.schema ~ '_state')
            ) -%}
        {%- endif -%}
        {%- for statement in statements -%}
            {%- do run_query(statement) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{# Names of the columns of a table, none if it is missing. Not through dbt's cache, which would
   store that it is missing. #}
{% macro columns_there(relation) %}
    {%- do return(
        adapter.get_columns_in_relation(relation) | map(attribute='name') | map('lower') | list
    ) -%}
{% endmacro %}

{#
    The statements that add missing columns, and rename those of a former release. State from before logs were
    distinguished belongs to one log.
#}
{% macro add_columns(relation, found, columns) %}
    {%- set former = {'is_synced': 'is_shipped', 'synced_rows': 'shipped_rows', 'spec': 'recipe'} -%}
    {%- set statements = [] -%}
    {%- for column, type in columns.items() if column not in found -%}
        {%- if former.get(column) in found -%}
            {%- do statements.append(
                'alter table ' ~ relation ~ ' rename column ' ~ former[column] ~ ' to ' ~ column
            ) -%}
        {%- else -%}
            {%- do statements.append(
                'alter table ' ~ relation ~ ' add column ' ~ column ~ ' ' ~ type
            ) -%}
        {%- endif -%}
        {%- if column == 'log_id' -%}
            {%- do statements.append(
                'update ' ~ relation ~ " set log_id = 'original' where log_id is null"
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do return(statements) -%}
{% endmacro %}

{# The statement that creates one table of state. #}
{% macro create_state_table(relation, columns) -%}
    create table if not exists {{ relation }} (
        {%- for column, type in columns.items() %}
        {{ column }} {{ type }}{{ ',' if not loop.last }}
        {%- endfor %}
    ) {{ state_layout(relation.identifier) }}
{%- endmacro %}
