{# A query without rows, with these columns: empty_relation({'customer_id': type_text()}) #}
{% macro empty_relation(columns) -%}
    select
        {%- for name, type in columns.items() %}
        cast(null as {{ type }}) as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from (select 1 as one) as nothing
    where false
{%- endmacro %}
