{#
    What a model version predicts: two versions that differ in it cannot be compared, and the marts
    must not mix them.
#}
{% macro model_definition_parts() %}
    {%- do return({
        'value': var('clv_value'),
        'margin_rate': var('clv_margin_rate'),
        'currency': var('clv_currency'),
        'discount_rate': var('clv_discount_rate'),
        'customer_grain': var('clv_customer_grain'),
        'duplicates': var('clv_duplicates'),
        'refund_days': var('clv_refund_days'),
        'time_zone': var('clv_time_zone'),
        'strata': shaped('clv_strata'),
        'horizons': shaped('clv_horizons') | sort,
    }) -%}
{% endmacro %}

{# The same as JSON. #}
{% macro model_definition() -%}
    {{- tojson(model_definition_parts(), sort_keys=true) | replace("'", '') -}}
{%- endmacro %}

{# How it predicts that, as JSON; a season is named where there is one, so that others keep their names. #}
{% macro model_recipe() -%}
    {%- set recipe = {
        'purchase_model': var('clv_purchase_model'),
        'fit_engine': var('clv_fit_engine'),
        'winsor_percentile': var('clv_winsor_percentile'),
        'min_stratum_customers': var('clv_min_stratum_customers'),
    } -%}
    {%- if var('clv_season') != 'none' -%}
        {%- do recipe.update({'season': var('clv_season')}) -%}
    {%- endif -%}
    {{- tojson(recipe, sort_keys=true) | replace("'", '') -}}
{%- endmacro %}

{# The parameters of a model version, whatever its purchase model; null where it has none. #}
{% macro model_parameter_names() %}
    {%- do return(['r', 'alpha', 'a', 'b', 's', 'beta', 'p', 'q', 'gamma']) -%}
{% endmacro %}

{# What is registered of a recipe's backtest: columns of int_backtest__recipe. #}
{% macro backtest_metrics() %}
    {%- do return(['backtest_cutoffs', 'backtest_mae', 'backtest_rmse', 'backtest_bias']) -%}
{% endmacro %}
