{#
    Standard error of a mean, from a sum, a sum of squares and a count (divisor n - 1); null for
    one observation. Rounding noise of equal observations is set to zero.
#}
{% macro standard_error(total, squares, number) -%}
    sqrt(
        case
            when
                {{ squares }} - power({{ total }}, 2) / {{ number }}
                > 1e-12 * {{ squares }}
                then {{ squares }} - power({{ total }}, 2) / {{ number }}
            else 0
        end / {{ number }} / nullif({{ number }} - 1, 0)
    )
{%- endmacro %}
