{#
    How many elements of an array are not above a value. On BigQuery, which has no function for it that reads
    a column once, the elements are written out: `length` of them.
    count_up_to('[10, 20, 30]', 20, 3) -> 2
#}
{% macro count_up_to(array, value, length) -%}
    {{ return(adapter.dispatch('count_up_to', 'clv')(array, value, length)) }}
{%- endmacro %}

{% macro default__count_up_to(array, value, length) -%}
    len(list_filter({{ array }}, lambda element: element <= {{ value }}))
{%- endmacro %}

{% macro bigquery__count_up_to(array, value, length) -%}
    (
        {%- for position in range(length) %}
        {{ '+ ' if not loop.first }}case when {{ array }}[offset({{ position }})] <= {{ value }} then 1 else 0 end
        {%- endfor %}
    )
{%- endmacro %}
