{#
    The definition of a model version, what it predicts: versions with different definitions are not
    comparable, and the marts must not mix them.
#}
{% macro model_definition_parts() %}
    {%- set parts = {
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
    } -%}
    {#- A key only of a monthly log, so that other definitions stay what they are. -#}
    {%- if is_monthly() -%}{%- do parts.update({'period': var('clv_period')}) -%}{%- endif -%}
    {%- do return(parts) -%}
{% endmacro %}

{# The same as JSON. #}
{% macro model_definition() -%}
    {{- tojson(model_definition_parts(), sort_keys=true) | replace("'", '') -}}
{%- endmacro %}

{# The spec, how it predicts, as JSON; season is a key only if none is looked for, so that other specs keep their names. #}
{% macro model_spec() -%}
    {%- set spec = {
        'purchase_model': var('clv_purchase_model'),
        'fit_engine': var('clv_fit_engine'),
        'min_stratum_customers': var('clv_min_stratum_customers'),
    } -%}
    {%- if var('clv_season') == 'none' -%}
        {%- do spec.update({'season': var('clv_season')}) -%}
    {%- endif -%}
    {{- tojson(spec, sort_keys=true) | replace("'", '') -}}
{%- endmacro %}

{# The parameters of a model version for any purchase model; null where it has none. #}
{% macro model_parameter_names() %}
    {%- do return(['r', 'alpha', 'a', 'b', 's', 'beta', 'p', 'q', 'gamma']) -%}
{% endmacro %}

{# Registered backtest metrics of a spec: columns of int_backtest__spec. #}
{% macro backtest_metrics() %}
    {%- do return(['backtest_cutoffs', 'backtest_mae', 'backtest_rmse', 'backtest_bias']) -%}
{% endmacro %}
