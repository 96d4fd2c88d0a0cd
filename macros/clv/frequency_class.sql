{# Class of a customer by repeat purchase days: ranges of frequent buyers are calibrated separately. #}
{% macro frequency_class(frequency) -%}
    case
        when {{ frequency }} = 0 then '0'
        when {{ frequency }} <= 2 then '1-2'
        when {{ frequency }} <= 9 then '3-9'
        when {{ frequency }} <= 29 then '10-29'
        else '30+'
    end
{%- endmacro %}
