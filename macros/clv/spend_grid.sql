{#
    Where int_expectations tabulates the quantiles of scaled spend: `nodes` levels v with ln(v / (1 - v))
    running from `first` in steps of `step`. The constants of python_models/int_expectations.py.
#}
{% macro spend_grid() %}
    {%- do return({'nodes': 61, 'first': -6.0, 'step': 0.2}) -%}
{% endmacro %}

{#
    Where a level of spend lies on that grid, `above` being the probability of a higher one: v = 1 - above /
    P(purchase). Null where it lies within the probability of no purchase: the quantile is then 0. Each number is
    written once, for BigQuery writes out what is read.
#}
{% macro grid_position(probability, above) -%}
    (
        ln(nullif(greatest(({{ probability }} - {{ above }}) / {{ above }}, 0), 0))
        - ({{ spend_grid().first }})
    ) / {{ spend_grid().step }}
{%- endmacro %}

{# The node to the left of it; the end segments are extended beyond the grid. #}
{% macro grid_node(position) -%}
    cast(
        floor(least(greatest({{ position }}, 0), {{ spend_grid().nodes - 2 }}))
        as {{ type_integer() }}
    )
{%- endmacro %}

{# The scaled spend there, linear in its logarithm between two nodes. #}
{% macro grid_quantile(quantiles, position, node) -%}
    {%- set left = array_at(quantiles, node) -%}
    {%- set right = array_at(quantiles, node ~ ' + 1') -%}
    exp({{ left }} + ({{ position }} - {{ node }}) * ({{ right }} - {{ left }}))
{%- endmacro %}
