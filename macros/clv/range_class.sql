{#
    Class of customers whose ranges are calibrated together: quintile of the value a day that the purchase
    model expects, and whether they bought once, have likely left, or are likely alive. `bounds` is a row of
    int_calibration__bounds. The model's errors differ by these: it is overconfident about dropout.
#}
{% macro range_class(row, bounds) -%}
    concat(
        case
            when {{ row }}.frequency = 0 then 'one purchase, '
            when {{ row }}.probability_alive < 0.3 then 'likely left, '
            else 'likely alive, '
        end,
        case
            {%- for fifth in range(1, 5) %}
            when {{ value_a_day(row) }} <= {{ bounds }}.bound_{{ fifth }} then '{{ fifth }}'
            {%- endfor %}
            else '5'
        end
    )
{%- endmacro %}

{# All classes. #}
{% macro range_classes() %}
    {%- set classes = [] -%}
    {%- for kind in ['one purchase', 'likely left', 'likely alive'] -%}
        {%- for fifth in range(1, 6) -%}
            {%- do classes.append(kind ~ ', ' ~ fifth) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do return(classes) -%}
{% endmacro %}

{# Value a day that the purchase model expects of a row of int_predictions__alive; purchases without value. #}
{% macro value_a_day(row='') -%}
    {%- set of = row ~ '.' if row else '' -%}
    {{ of }}probability_alive * {{ of }}purchase_rate
    {{- '' if var('clv_value') == 'none' else ' * ' ~ of ~ 'expected_value' }}
{%- endmacro %}
