{#
    An expected value over `horizon` days with the overlay applied, from columns `value` and
    `value_at_fit` (the same over clv_gate_horizon_days), `factor` and `floor_value` of `overlay`.
    Shorter horizons use the factor. Longer ones add the absolute difference at clv_gate_horizon_days,
    beyond which the overlay is not trained: values never fall with the horizon.
#}
{% macro overlaid(horizon, value, value_at_fit, overlay) -%}
    {%- set fitted = var('clv_gate_horizon_days') -%}
    {%- if horizon <= fitted -%}
        {{ overlay }}.factor * ({{ value }} + {{ overlay }}.floor_value * {{ horizon / fitted }})
    {%- else -%}
        {{ value }} - {{ value_at_fit }}
        + {{ overlay }}.factor * ({{ value_at_fit }} + {{ overlay }}.floor_value)
    {%- endif -%}
{%- endmacro %}
