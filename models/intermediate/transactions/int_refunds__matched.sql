-- grain: one row per customer, order (when known), purchase day reduced and refund day
{{ config(**replace_months('refund_date', daily_window().lines_from)) }}
{#- What a refund can have come from: not later than it, nor more than clv_refund_days earlier. #}
{%- set within_reach -%}
    lines.transaction_date <= refunds.refund_date
            and lines.transaction_date
            >= {{ add_days('refunds.refund_date', -var('clv_refund_days')) }}
{%- endset %}
with refunds as (

    select
        customer_id,
        order_id,
        transaction_date as refund_date,
        sum(line_count) as line_count,
        -sum(revenue_amount) as revenue_amount,
        -sum(margin_amount) as margin_amount
    from {{ ref('int_transactions__resolved') }}
    where is_counted and is_refund
    {%- if is_daily() %}
        and {{ since('transaction_date', daily_window().reach_from) }}
    {%- endif %}
    group by 1, 2, 3

),

refunded_customers as (

    select distinct customer_id
    from refunds

),

-- Who took nothing back is left out early.
lines as (

    select
        lines.customer_id,
        lines.order_id,
        lines.transaction_date,
        lines.revenue_amount
    from {{ ref('int_transactions__resolved') }} as lines
    inner join refunded_customers
        on lines.customer_id = refunded_customers.customer_id
    where lines.is_counted and not lines.is_refund
    {%- if is_daily() %}
        and {{ since('lines.transaction_date', daily_window().reach_from) }}
    {%- endif %}

),

-- An order spread over days counts as bought on its first.
with_order as (

    select
        refunds.customer_id,
        refunds.order_id,
        refunds.refund_date,
        refunds.line_count,
        refunds.revenue_amount,
        refunds.margin_amount,
        min(lines.transaction_date) as purchase_date,
        sum(lines.revenue_amount) as order_amount
    from refunds
    left join lines
        on
            refunds.customer_id = lines.customer_id
            and refunds.order_id = lines.order_id
            and {{ within_reach }}
    group by 1, 2, 3, 4, 5, 6

),

-- Without an order of its own a refund reduces the latest purchase day that is not after it.
orphan_days as (

    select
        refunds.customer_id,
        refunds.refund_date,
        max(lines.transaction_date) as purchase_date
    from with_order as refunds
    inner join lines
        on
            refunds.customer_id = lines.customer_id
            and {{ within_reach }}
    where refunds.purchase_date is null
    group by 1, 2

),

placed as (

    select
        with_order.customer_id,
        with_order.order_id,
        with_order.refund_date,
        with_order.line_count,
        with_order.revenue_amount,
        with_order.margin_amount,
        with_order.order_amount,
        coalesce(with_order.purchase_date, orphan_days.purchase_date) as purchase_date
    from with_order
    left join orphan_days
        on
            with_order.customer_id = orphan_days.customer_id
            and with_order.refund_date = orphan_days.refund_date
            and with_order.purchase_date is null

),

refunded_so_far as (

    select
        *,
        sum(revenue_amount) over (
            partition by customer_id, order_id, purchase_date
            order by refund_date
            rows between unbounded preceding and current row
        ) as refunded_amount
    from placed

)

select
    {{ surrogate_key(['customer_id', 'order_id', 'refund_date']) }} as refund_id,
    customer_id,
    order_id,
    cast(line_count as {{ type_integer() }}) as line_count,
    revenue_amount,
    margin_amount,
    -- The refund that brings a known order to nothing: from then on it was no purchase.
    coalesce(
        refunded_amount >= order_amount
        and refunded_amount - revenue_amount < order_amount,
        false
    ) as completes_refund,
    purchase_date is not null as is_matched,
    purchase_date,
    refund_date
from refunded_so_far
{%- if is_daily() %}
where {{ since('refund_date', daily_window().lines_from) }}
{%- endif %}
