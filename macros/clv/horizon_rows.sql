{# A query of one row per horizon of var clv_horizons, in days. #}
{% macro horizon_rows() -%}
    {% for horizon in shaped('clv_horizons') -%}
    select {{ horizon }} as horizon_days
    {{- '\nunion all\n' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
