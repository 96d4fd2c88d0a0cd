-- grain: one row per distinct transaction line of a known customer, sale or refund
{{ config(**replace_months('transaction_date', daily_window().lines_from)) }}
select
    {{ transaction_key('lines') }} as transaction_id,
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
from {{ ref('int_transactions__resolved') }} as lines
where is_counted
{%- if is_daily() %}
    and {{ since('transaction_date', daily_window().lines_from) }}
{%- endif %}
