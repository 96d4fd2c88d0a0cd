{#
    RFM cell of fixed bounds, as text: days since the last purchase by month, quarter, half year and
    year; frequency class; value to date by powers of three.
#}
{% macro rfm_cell(purchase_days, days_since, value) -%}
    concat(
        case
            when {{ days_since }} <= 30 then '30'
            when {{ days_since }} <= 90 then '90'
            when {{ days_since }} <= 180 then '180'
            when {{ days_since }} <= 365 then '365'
            else 'older'
        end,
        '/', {{ frequency_class(purchase_days ~ ' - 1') | indent(8) }},
        '/', cast(cast(
            case
                when {{ value }} > 0
                    then floor(ln(cast({{ value }} as {{ type_double() }})) / ln(3.0))
                else -99
            end as {{ type_integer() }}
        ) as {{ type_text() }})
    )
{%- endmacro %}
