{# The relation behind one input, or an empty stand-in when var clv_input_tables says there is none. #}
{% macro input_table(input) -%}
    {%- if var('clv_input_tables').get(input) -%}
        {{ source('clv_raw', input) }}
    {%- else -%}
        (select 1 as absent) as no_{{ input }} where false
    {%- endif -%}
{%- endmacro %}

{#
    One standard column of an input, cast to its type: the column of that name, or what var
    clv_input_columns puts in its place; null when the table or the column is absent.
    Text is trimmed and empty text is null.
#}
{% macro input_column(input, column, type) -%}
    {%- set mapped = var('clv_input_columns').get(input, {}).get(column, column) -%}
    {%- if mapped is none or not var('clv_input_tables').get(input) -%}
        cast(null as {{ type }})
    {%- elif type == type_text() -%}
        nullif({{ trimmed('cast(' ~ mapped ~ ' as ' ~ type ~ ')') }}, '')
    {%- elif type == type_money() -%}
        {{ as_money(mapped) }}
    {%- else -%}
        cast({{ mapped }} as {{ type }})
    {%- endif -%}
{%- endmacro %}
