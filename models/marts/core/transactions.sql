-- grain: one row per distinct transaction line of a known customer, sale or refund
-- A view: it only filters, and a table would be a second copy of every line.
select
    transaction_id,
    customer_id,
    order_id,
    sku,
    category,
    channel,
    country,
    currency as delivered_currency,
    delivered_amount,
    line_count,
    revenue_amount,
    margin_amount,
    discount_amount,
    is_refund,
    transaction_date,
    transacted_at
from {{ ref('int_transactions__resolved') }}
where is_counted
