{# Methods of int_cohort_forecast; in a tie the first serves. #}
{% macro forecast_methods() -%}
    {%- do return(['purchase_model', 'combined', 'recent_mean', 'holt_winters']) -%}
{%- endmacro %}

{# Classes of cohorts evaluated together, by full weeks since their month of first purchase. #}
{% macro forecast_age_class(closed_weeks) -%}
    case
        when {{ closed_weeks }} < 13 then '0 to 12 weeks'
        when {{ closed_weeks }} < 52 then '13 to 51 weeks'
        else '52 weeks and more'
    end
{%- endmacro %}
