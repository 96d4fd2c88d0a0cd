{#
    Sums over one customer's purchase days. Sums over disjoint days add up, so that closed days need
    not be read again. `cap` is the value at which days are capped for the fit.
#}
{% macro purchase_sums(days, cap) -%}
    count(case when {{ days }}.is_purchase then 1 end) as purchase_days,
    sum(case when {{ days }}.is_purchase then {{ days }}.order_count else 0 end)
        as order_count,
    sum(case when {{ days }}.is_purchase then {{ days }}.value_amount end) as value_amount,
    sum(
        case
            when not {{ days }}.is_purchase then null
            when {{ days }}.value_amount > {{ cap }} then {{ cap }}
            else {{ days }}.value_amount
        end
    ) as capped_value_amount,
    min(case when {{ days }}.is_purchase then {{ days }}.purchase_date end)
        as first_purchase_date,
    max(case when {{ days }}.is_purchase then {{ days }}.purchase_date end)
        as last_purchase_date
{%- endmacro %}
