{#
    How many elements of an array in ascending order are not above a value.
    count_up_to('[10, 20, 30]', 20) -> 2
#}
{% macro count_up_to(array, value) -%}
    {{ return(adapter.dispatch('count_up_to', 'clv')(array, value)) }}
{%- endmacro %}

{% macro default__count_up_to(array, value) -%}
    len(list_filter({{ array }}, lambda element: element <= {{ value }}))
{%- endmacro %}

{% macro bigquery__count_up_to(array, value) -%}
    coalesce(range_bucket({{ value }}, {{ array }}), 0)
{%- endmacro %}
