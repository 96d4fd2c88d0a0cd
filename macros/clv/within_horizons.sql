{#
    A measure known at the horizons, such as clv_%sd, interpolated linearly at `days` (an expression):
    from 0 to the first horizon and between horizons; null beyond the last.
#}
{% macro within_horizons(measure, horizons, days) -%}
    case
        when {{ days }} <= 0 then 0.0
        {%- for horizon in horizons %}
        {%- set start = 0 if loop.first else horizons[loop.index0 - 1] %}
        {%- set before = '0' if loop.first else measure % start %}
        when {{ days }} <= {{ horizon }}
            then {{ before }} + ({{ measure % horizon }} - {{ before }})
                * ({{ days }} - {{ start }}) / {{ horizon - start }}.0
        {%- endfor %}
    end
{%- endmacro %}
