{# A query of one row per horizon of var clv_horizons, in days. #}
{% macro horizon_rows() -%}
    {% for horizon in shaped('clv_horizons') -%}
    select {{ horizon }} as horizon_days
    {{- '\nunion all\n' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#
    The value of <column>_<horizon>d<suffix> for a row of horizon_rows(). Horizons as rows read a table
    once; a union over horizons would read it once for each.
#}
{% macro of_horizon(column, suffix='') -%}
    case horizons.horizon_days
        {%- for horizon in shaped('clv_horizons') %}
        when {{ horizon }} then {{ column }}_{{ horizon }}d{{ suffix }}
        {%- endfor %}
    end
{%- endmacro %}
