-- grain: one row per customer, purchase day and version of that day
-- A later refund must not change what was known before it, so a day has one version from its purchase
-- and one more from each refund, valid from `known_from` until before `known_until`.
{{ config(**replace_months('purchase_date', daily_window().days_from)) }}
with orders as (

    select
        customer_id,
        transaction_date as purchase_date,
        order_id,
        sum(line_count) as line_count,
        sum(revenue_amount) as revenue_amount,
        sum(margin_amount) as margin_amount
    from {{ ref('int_transactions__resolved') }}
    where is_counted and not is_refund
    {%- if is_daily() %}
        and {{ since('transaction_date', daily_window().days_from) }}
    {%- endif %}
    group by 1, 2, 3

),

sold as (

    select
        customer_id,
        purchase_date,
        -- Each line without an order id is an order of its own.
        sum(case when order_id is null then line_count else 1 end) as order_count,
        sum(line_count) as line_count,
        sum(revenue_amount) as revenue_amount,
        sum(margin_amount) as margin_amount
    from orders
    group by 1, 2

),

refunded as (

    select
        customer_id,
        purchase_date,
        refund_date,
        sum(case when completes_refund then 1 else 0 end) as order_count,
        sum(line_count) as line_count,
        sum(revenue_amount) as revenue_amount,
        sum(margin_amount) as margin_amount
    from {{ ref('int_refunds__matched') }}
    where is_matched
    {%- if is_daily() %}
        and {{ since('refund_date', daily_window().days_from) }}
        and {{ since('purchase_date', daily_window().days_from) }}
    {%- endif %}
    group by 1, 2, 3

),

first_refunds as (

    select
        customer_id,
        purchase_date,
        min(refund_date) as refund_date
    from refunded
    group by 1, 2

),

before_refunds as (

    select
        sold.customer_id,
        sold.purchase_date,
        sold.order_count,
        sold.line_count,
        sold.revenue_amount,
        sold.margin_amount,
        sold.purchase_date as known_from,
        first_refunds.refund_date as known_until
    from sold
    left join first_refunds
        on
            sold.customer_id = first_refunds.customer_id
            and sold.purchase_date = first_refunds.purchase_date
    where
        first_refunds.refund_date is null
        or first_refunds.refund_date > sold.purchase_date

),

{%- set measures = ['order_count', 'line_count', 'revenue_amount', 'margin_amount'] %}
{%- set so_far %} over (
            partition by refunded.customer_id, refunded.purchase_date
            order by refunded.refund_date
            rows between unbounded preceding and current row
        )
{%- endset %}

after_refunds as (

    select
        sold.customer_id,
        sold.purchase_date,
        {%- for measure in measures %}
        sold.{{ measure }} - sum(refunded.{{ measure }}){{ so_far }} as {{ measure }},
        {%- endfor %}
        refunded.refund_date as known_from,
        lead(refunded.refund_date) over (
            partition by refunded.customer_id, refunded.purchase_date
            order by refunded.refund_date
        ) as known_until
    from refunded
    inner join sold
        on
            refunded.customer_id = sold.customer_id
            and refunded.purchase_date = sold.purchase_date

),

versions as (

    select *
    from before_refunds

    union all

    select *
    from after_refunds

)

select
    customer_id,
    {%- if var('clv_value') == 'none' %}
    -- An order has at least one line that was not returned.
    cast(least(order_count, line_count) as {{ type_integer() }}) as order_count,
    {%- else %}
    cast(order_count as {{ type_integer() }}) as order_count,
    {%- endif %}
    {{ as_money('revenue_amount') }} as revenue_amount,
    {{ as_money('margin_amount') }} as margin_amount,
    {%- if var('clv_value') == 'none' %}
    cast(null as {{ type_money() }}) as value_amount,
    order_count > 0 and line_count > 0 as is_purchase,
    {%- else %}
    {{ as_money(var('clv_value') ~ '_amount') }} as value_amount,
    -- A day without revenue, or without any left after refunds, is not a purchase.
    revenue_amount > 0 as is_purchase,
    {%- endif %}
    purchase_date,
    known_from,
    known_until
from versions
