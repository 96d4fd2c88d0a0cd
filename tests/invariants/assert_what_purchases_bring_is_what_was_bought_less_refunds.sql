-- By customer and to the digit: lines counted, sales less refunds = revenue of purchase days less
-- unmatched refunds. With a margin rate of one it is also their value: the model sees all refunds.
{{ config(tags=['full_run']) }}
{%- if var('clv_value') == 'none' %}
{{ empty_relation({'customer_id': type_text()}) }}
{%- else %}
with lines as (

    select
        customer_id,
        sum(revenue_amount) as revenue_amount,
        min(case when margin_amount = revenue_amount then 1 else 0 end)
            as has_margins_of_one
    from {{ ref('int_transactions__resolved') }}
    where is_counted
    group by 1

),

days as (

    select
        customer_id,
        sum(revenue_amount) as revenue_amount,
        sum(value_amount) as value_amount
    from {{ ref('int_purchase_days') }}
    where is_purchase and known_until is null
    group by 1

),

set_aside as (

    select
        customer_id,
        sum(revenue_amount) as revenue_amount
    from {{ ref('int_refunds__matched') }}
    where not is_matched
    group by 1

)

select
    lines.customer_id,
    lines.revenue_amount,
    days.revenue_amount as purchases_amount,
    days.value_amount,
    set_aside.revenue_amount as set_aside_amount
from lines
left join days
    on lines.customer_id = days.customer_id
left join set_aside
    on lines.customer_id = set_aside.customer_id
where
    coalesce(days.revenue_amount, 0) - coalesce(set_aside.revenue_amount, 0)
    != lines.revenue_amount
    or (
        lines.has_margins_of_one = 1
        and coalesce(days.value_amount, 0) != coalesce(days.revenue_amount, 0)
    )
{%- endif %}
