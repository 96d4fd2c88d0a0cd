-- grain: one row per customer and order bought up to the last full run
-- Rebuilt by full runs only: a daily run looks up the orders that refunds name and that are older than
-- the lines it reads.
select
    customer_id,
    order_id,
    min(transaction_date) as first_purchase_date
from {{ ref('int_transactions__resolved') }}
where is_counted and not is_refund and order_id is not null
group by 1, 2
