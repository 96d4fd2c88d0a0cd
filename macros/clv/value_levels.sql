{#
    Published quantiles of value and the model's probability of a value above each: calibrated
    (int_calibration's tail_<horizon>d; uncalibrated without one), then the model's own.
#}
{% macro value_levels(horizon) %}
    {%- set tail = 'coalesce(calibration.tail_' ~ horizon ~ 'd, 0.1)' -%}
    {%- do return({
        'p10': '(1 - ' ~ tail ~ ')', 'p50': '0.5', 'p90': tail, 'p10_raw': '0.9', 'p90_raw': '0.1',
    }) -%}
{% endmacro %}
