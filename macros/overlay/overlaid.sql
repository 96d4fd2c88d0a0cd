{#
    What the overlay makes of an expected value over `horizon` days, of columns `value` and
    `value_at_fit` (the same over clv_overlay_horizon_days), `factor` and `floor_value` of `overlay`.
    A shorter horizon takes the factor. A longer one takes the difference, since nothing was learnt
    beyond: so that a longer horizon never brings less.
#}
{% macro overlaid(horizon, value, value_at_fit, overlay) -%}
    {%- set fitted = var('clv_overlay_horizon_days') -%}
    {%- if horizon <= fitted -%}
        {{ overlay }}.factor * ({{ value }} + {{ overlay }}.floor_value * {{ horizon / fitted }})
    {%- else -%}
        {{ value }} - {{ value_at_fit }}
        + {{ overlay }}.factor * ({{ value_at_fit }} + {{ overlay }}.floor_value)
    {%- endif -%}
{%- endmacro %}
