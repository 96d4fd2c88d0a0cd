{#
    The share of a bin of `ranks` (below, customers, all_customers) that falls in the decile
    `deciles.number`, 0 the lowest to 9.
#}
{% macro decile_share() -%}
    greatest(
        least(
            ranks.below + ranks.customers,
            (deciles.number + 1) * ranks.all_customers / 10
        ) - greatest(ranks.below, deciles.number * ranks.all_customers / 10), 0
    ) / ranks.customers
{%- endmacro %}
