-- grain: one row per customer with a refund, order and day: amounts sold and refunded
-- Lines without an order id are one order. Customers without refunds are dropped before the join.
{#- The measure: revenue, or lines where there are no amounts. #}
{%- set sold, taken = (
    ('coalesce(lines.revenue_amount, 0)', 'coalesce(-lines.revenue_amount, 0)')
    if var('clv_value') != 'none' else ('lines.line_count', 'lines.line_count')
) %}
with refunded_customers as (

    select distinct customer_id
    from {{ ref('int_transactions__resolved') }}
    where is_counted and is_refund
    {%- if is_daily() %}
        and {{ since('transaction_date', daily_window().reach_from) }}
    {%- endif %}

),

moves as (

    select
        lines.customer_id,
        lines.order_id,
        lines.transaction_date as moved_date,
        sum(case when not lines.is_refund then {{ sold }} end) as sold,
        sum(case when lines.is_refund then {{ taken }} end) as taken,
        sum(case when lines.is_refund then lines.line_count end) as line_count,
        -sum(case when lines.is_refund then lines.revenue_amount end) as revenue_amount,
        -sum(case when lines.is_refund then lines.margin_amount end) as margin_amount
    from {{ ref('int_transactions__resolved') }} as lines
    inner join refunded_customers
        on lines.customer_id = refunded_customers.customer_id
    where
        lines.is_counted
    {%- if is_daily() %}
        and {{ since('lines.transaction_date', daily_window().reach_from) }}
    {%- endif %}
    group by 1, 2, 3

),

-- The latest purchase by each day, that day's included.
bought as (

    select
        *,
        max(case when sold is not null then moved_date end) over (
            partition by customer_id, order_id
            order by moved_date
        ) as bought_of_order,
        max(case when sold is not null then moved_date end) over (
            partition by customer_id
            order by moved_date
        ) as bought_of_any
    from moves

),

-- Whether the log had the order by that day, at any age.
judged as (

    {% if is_daily() -%}
    select
        bought.*,
        bought.order_id is not null and (
            bought.bought_of_order is not null
            or coalesce(bought.moved_date >= closed.first_purchase_date, false)
        ) as is_known
    from bought
    left join {{ ref('int_orders__closed') }} as closed
        on
            bought.customer_id = closed.customer_id
            and bought.order_id = closed.order_id
    {%- else %}
    select
        *,
        order_id is not null and bought_of_order is not null as is_known
    from bought
    {%- endif %}

),

-- The home day of a refund: the latest purchase of its order, else of the customer.
aimed as (

    select
        *,
        case when is_known then bought_of_order else bought_of_any end as home_date
    from judged

)

select
    customer_id,
    order_id,
    sold,
    taken,
    line_count,
    revenue_amount,
    margin_amount,
    is_known,
    moved_date,
    case
        when
            taken is not null
            and home_date >= {{ add_days('moved_date', -var('clv_refund_days')) }}
            then home_date
    end as home_date
from aimed
