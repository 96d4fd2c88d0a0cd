{# Standard error of a mean, from a sum, a sum of squares and a count. #}
{% macro standard_error(total, squares, number) -%}
    sqrt(
        greatest({{ squares }} / {{ number }} - power({{ total }} / {{ number }}, 2), 0)
        / {{ number }}
    )
{%- endmacro %}
