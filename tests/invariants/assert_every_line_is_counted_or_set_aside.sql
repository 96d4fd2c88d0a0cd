-- Lines and amounts delivered = those in revenue_reconciliation, by currency and to the digit: nothing
-- is lost or doubled on the way. What counts in the project's currency is what was delivered, but
-- that a refund takes away and a sale brings.
with delivered as (

    select
        coalesce(lines.currency, as_of.currency, '') as currency,
        count(*) as line_count,
        coalesce(sum(lines.amount), 0) as delivered_amount
    from {{ ref('stg_transactions') }} as lines
    cross join {{ ref('int_as_of') }} as as_of
    group by 1

),

reconciled as (

    select
        currency,
        sum(line_count) as line_count,
        sum(delivered_amount) as delivered_amount,
        sum(
            case
                when not is_counted or currency != coalesce(revenue_currency, '') then 0
                when disposition = 'refund_delivered_positive'
                    then revenue_amount + delivered_amount
                else revenue_amount - delivered_amount
            end
        ) as unexplained_amount
    from {{ ref('revenue_reconciliation') }}
    group by 1

)

select
    coalesce(delivered.currency, reconciled.currency) as currency,
    delivered.line_count as delivered_lines,
    reconciled.line_count as reconciled_lines,
    delivered.delivered_amount,
    reconciled.delivered_amount as reconciled_amount,
    reconciled.unexplained_amount
from delivered
full outer join reconciled
    on delivered.currency = reconciled.currency
where
    coalesce(delivered.line_count, 0) != coalesce(reconciled.line_count, 0)
    or coalesce(delivered.delivered_amount, 0)
    != coalesce(reconciled.delivered_amount, 0)
    or reconciled.unexplained_amount != 0
