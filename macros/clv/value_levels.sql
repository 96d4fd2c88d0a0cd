{#
    Published levels of value and the probability, as the model reads it, that value lies above
    them: calibrated (int_calibration's tail_<horizon>d; without one, as the model has it), then the model's own.
#}
{% macro value_levels(horizon) %}
    {%- set tail = 'coalesce(calibration.tail_' ~ horizon ~ 'd, 0.1)' -%}
    {%- do return({
        'p10': '(1 - ' ~ tail ~ ')', 'p50': '0.5', 'p90': tail, 'p10_raw': '0.9', 'p90_raw': '0.1',
    }) -%}
{% endmacro %}
