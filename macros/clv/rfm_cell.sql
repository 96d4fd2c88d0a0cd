{#
    RFM cell of a customer, as text: days since the last purchase by month, quarter, half year and
    year; then columns of `summed`, relative to the mean in `averages`, by powers of two.
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
            {%- for power in [-2, -1, 0, 1, 2] %}
            when summed.{{ column }} < {{ 2 ** power }} * averages.{{ column }}
                then '/below {{ 2 ** power }}'
            {%- endfor %}
            else '/above'
        end
        {%- endfor %}
    )
{%- endmacro %}
