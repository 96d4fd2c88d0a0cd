{# The relation behind one input, or an empty stand-in when there is none. `found`: of found_columns. #}
{% macro input_table(input, found=none) -%}
    {%- if var('clv_input_tables').get(input) and (found is none or found) -%}
        {{ source('clv_raw', input) }}
    {%- else -%}
        (select 1 as absent) as no_{{ input }} where false
    {%- endif -%}
{%- endmacro %}

{#
    One standard column of an input, cast to its type: the column of that name, or its mapping in var
    clv_input_columns; null when the table or the column is absent.
    Text is trimmed and empty text is null.
#}
{% macro input_column(input, column, type, found=none) -%}
    {%- set mapping = var('clv_input_columns').get(input, {}) -%}
    {%- set mapped = mapping.get(column, column) -%}
    {%- set is_absent = found is not none
        and (not found or column not in mapping and column not in found | map(attribute='name') | map('lower')) -%}
    {%- if mapped is none or is_absent or not var('clv_input_tables').get(input) -%}
        cast(null as {{ type }})
    {%- elif type == type_text() -%}
        nullif({{ trimmed('cast(' ~ mapped ~ ' as ' ~ type ~ ')') }}, '')
    {%- elif type == type_money() -%}
        {{ as_money(mapped) }}
    {%- elif type == type_instant() -%}
        {{ as_instant(mapped, type_found(mapped, found)) }}
    {%- else -%}
        cast({{ mapped }} as {{ type }})
    {%- endif -%}
{%- endmacro %}

{#
    The condition of var clv_history_from on an input with a ts, empty where it is null. It compares the bare
    column with a literal of its type: BigQuery accepts nothing else as a partition filter.
#}
{% macro since_history(input, found=none) -%}
    {%- set first = var('clv_history_from') -%}
    {%- if first is not none and input in ['transactions', 'events'] and var('clv_input_tables').get(input)
        and (found is none or found) -%}
        {%- set ts = var('clv_input_columns').get(input, {}).get('ts', 'ts') -%}
        {%- set type = (type_found(ts, found) or '') | lower -%}
        {%- if type in ['date', 'datetime'] -%}
            {{ ts }} >= {{ type }} '{{ first }}'
        {%- elif type in ['varchar', 'string'] -%}
            {{ safe_cast_to(ts, type_instant()) }} >= timestamp '{{ first }}'
        {%- else -%}
            {{ ts }} >= timestamp '{{ first }}'
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# The type of the column of that name among found_columns, null where there is none: an expression has none. #}
{% macro type_found(name, found) %}
    {%- for column in found or [] if column.name | lower == name | lower -%}
        {%- do return(column.dtype) -%}
    {%- endfor -%}
    {%- do return(none) -%}
{% endmacro %}

{#
    The columns of the table of an input when the run executes, [] without a table; null when the
    warehouse cannot be queried: while the project is parsed or compiled.
#}
{% macro found_columns(input) %}
    {%- do check_input_config() -%}
    {%- if not execute or flags.WHICH not in ['build', 'run', 'test'] or not var('clv_input_tables').get(input) -%}
        {%- do return(none) -%}
    {%- endif -%}
    {%- set declared = source('clv_raw', input) -%}
    {%- set relation = adapter.get_relation(declared.database, declared.schema, declared.identifier) -%}
    {%- do return(adapter.get_columns_in_relation(relation) if relation else []) -%}
{% endmacro %}
