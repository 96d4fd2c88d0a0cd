{#
    Time constants, in days, that int_corrections may choose from for a purchase to lose weight: one made
    d days ago counts exp(-d / days). Columns of int_purchases__last and int_predictions__alive.
#}
{% macro forgetting_days() %}
    {%- do return([60, 120, 240]) -%}
{% endmacro %}
