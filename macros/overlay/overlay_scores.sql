{# Steps from the root of a tree to its deepest leaf: max_depth of python_models/int_overlay__trees.py. #}
{% macro overlay_depth() %}
    {%- do return(6) -%}
{% endmacro %}

{# The features as an array, in the order of overlay_features(). #}
{% macro overlay_vector() -%}
    [{{ overlay_features() | join(', ') }}]
{%- endmacro %}

{#
    CTEs step_1 to step_6 that walk the rows of `starts` down the trees: a `vector` of features, the
    columns of int_overlay__packed_trees and node_0, the root, get the node reached after each step.
#}
{% macro overlay_descent() -%}
    {%- for step in range(1, overlay_depth() + 1) %}
step_{{ step }} as (

    select
        *,
        {% call(node) once('node_' ~ (step - 1), 'node') -%}
        {%- set value = array_at('vector', array_at('features', node)) -%}
        case
            when
                {{ value }} <= {{ array_at('thresholds', node) }}
                or ({{ value }} is null and {{ array_at('are_default_left', node) }})
                then {{ array_at('left_nodes', node) }}
            else {{ array_at('right_nodes', node) }}
        end
        {%- endcall %} as node_{{ step }}
    from {{ 'starts' if step == 1 else 'step_' ~ (step - 1) }}

),
{% endfor %}
{%- endmacro %}
