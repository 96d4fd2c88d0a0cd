{# The purchase models in use, by name: of the recipe in any stratum, and its challengers. #}
{% macro purchase_models() %}
    {%- set recipe = var('clv_purchase_model') -%}
    {%- set names = recipe.values() | list if recipe is mapping else [recipe] -%}
    {%- do return((names + var('clv_challenger_models')) | unique | sort) -%}
{% endmacro %}
