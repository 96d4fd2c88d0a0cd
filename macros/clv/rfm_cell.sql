{#
    RFM cell of a customer, as text: days since the last purchase by month, quarter, half year and
    year; then columns of `summed`, relative to the mean in `averages`, by factors of two with the
    mean in the middle of a class.
#}
{% macro rfm_cell(days_since, frequency, money) -%}
    concat(
        case
            when {{ days_since }} <= 30 then '30'
            when {{ days_since }} <= 90 then '90'
            when {{ days_since }} <= 180 then '180'
            when {{ days_since }} <= 365 then '365'
            else 'older'
        end
        {%- for column in [frequency, money] %},
        case
            {%- for bound in [0.18, 0.35, 0.7, 1.4, 2.8] %}
            when summed.{{ column }} < {{ bound }} * averages.{{ column }}
                then '/below {{ bound }}'
            {%- endfor %}
            else '/above'
        end
        {%- endfor %}
    )
{%- endmacro %}
