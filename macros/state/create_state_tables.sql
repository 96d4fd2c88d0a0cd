{#
    Creates the tables of state that are missing, and adds columns that a new release brought.
    Never drops anything.
#}
{% macro create_state_tables() %}
    {%- if execute and flags.WHICH in ['build', 'run', 'seed', 'snapshot', 'test'] -%}
        {%- set statements = [] -%}
        {%- for table, columns in state_tables().items() -%}
            {%- set relation = source('clv_state', table) -%}
            {#- Not through dbt's cache, which would remember that the table is missing. -#}
            {%- set found = adapter.get_columns_in_relation(relation)
                | map(attribute='name') | map('lower') | list -%}
            {%- if not found -%}
                {%- do statements.append(create_state_table(relation, columns)) -%}
            {%- endif -%}
            {%- for column, type in columns.items() if found and column not in found -%}
                {%- do statements.append(
                    'alter table ' ~ relation ~ ' add column ' ~ column ~ ' ' ~ type
                ) -%}
            {%- endfor -%}
        {%- endfor -%}
        {#- This also commits: reading columns began a transaction, which the hook's end rolls back. -#}
        {%- do adapter.create_schema(
            api.Relation.create(database=target.database, schema=target.schema ~ '_state')
        ) -%}
        {%- for statement in statements -%}
            {%- do run_query(statement) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{# The statement that creates one table of state. #}
{% macro create_state_table(relation, columns) -%}
    create table if not exists {{ relation }} (
        {%- for column, type in columns.items() %}
        {{ column }} {{ type }}{{ ',' if not loop.last }}
        {%- endfor %}
    ) {{ state_layout(relation.identifier) }}
{%- endmacro %}
