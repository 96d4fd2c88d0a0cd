{#
    The least of some expressions, nulls left aside; null where all are.
    least_known(['null', '3', '2']) -> 2
#}
{% macro least_known(expressions) -%}
    least(
        {%- for _ in expressions %}
        {%- set turned = expressions[loop.index0:] + expressions[:loop.index0] %}
        coalesce({{ turned | join(', ') }}){{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}
