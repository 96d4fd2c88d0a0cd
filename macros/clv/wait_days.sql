{#
    Days ahead at which int_outlook__waits tabulates the wait for the next purchase: 0, each of the first
    days, then further apart, and every horizon.
    wait_days() -> [0, 1, 2, ... 9, 11, 13, ... 299, 353, 365]
#}
{% macro wait_days() %}
    {%- set horizons = shaped('clv_horizons') -%}
    {%- set days = [0] -%}
    {%- for step in range(200) -%}
        {%- set next = [days[-1] + 1, (days[-1] * 1.18) | round | int] | max -%}
        {%- if next < horizons | max -%}{%- do days.append(next) -%}{%- endif -%}
    {%- endfor -%}
    {%- do return((days + horizons) | unique | sort) -%}
{% endmacro %}
