{#
    Beside a join on the production cutoff: the same day written out, by which a warehouse prunes partitions.
    True where the as-of date is found in the log.
#}
{% macro at_as_of(column) -%}
    {%- if var('clv_as_of_date') is none -%}
    true
    {%- else -%}
    {{ column }} = date '{{ var("clv_as_of_date") }}'
    {%- endif -%}
{%- endmacro %}
