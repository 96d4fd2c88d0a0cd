-- grain: one row per customer with a line before those that daily runs read again: their first
-- The alphabetically first value of the day: the same on every run and both warehouses.
with touches as (

    select
        transactions.customer_id,
        transactions.transaction_date,
        min(transactions.channel) as channel,
        min(transactions.country) as country,
        max(case when transactions.is_refund then 0 else 1 end) as sales
    from {{ ref('int_transactions__resolved') }} as transactions
    inner join {{ ref('int_closed_until') }} as closed
        on transactions.transaction_date < closed.lines_closed_until
    where
        transactions.is_counted
        and {{ at_closed('transactions.transaction_date', '<', 'lines_from') }}
    group by 1, 2

)

select
    customer_id,
    transaction_date,
    channel,
    country,
    max(sales) over (partition by customer_id) = 1 as has_sale
from touches
qualify row_number() over (partition by customer_id order by transaction_date) = 1
