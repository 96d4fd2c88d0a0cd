-- grain: one row per period and customer who bought in it, with her latest purchase there
-- One purchase per customer, so that observations are independent and chance can be computed.
with windows as (

    select *
    from {{ ref('int_drift__windows') }}

),

known as (

    select
        windows.period,
        windows.cutoff_date,
        known.customer_id,
        known.purchase_date,
        known.value_amount,
        {{ days_between(
            'lag(known.purchase_date) over (partition by windows.period, known.customer_id '
            ~ 'order by known.purchase_date)',
            'known.purchase_date'
        ) }} as gap_days
    from {{ ref('int_purchase_days__known') }} as known
    inner join windows
        on known.cutoff_date = windows.cutoff_date

),

latest as (

    select *
    from known
    where
        purchase_date > {{ add_days('cutoff_date', -var('clv_drift_days')) }}
    qualify row_number() over (
        partition by period, customer_id
        order by purchase_date desc
    ) = 1

),

-- The largest line of the day speaks for it.
lines as (

    select
        latest.period,
        latest.customer_id,
        transactions.channel,
        transactions.country,
        transactions.category
    from latest
    inner join {{ ref('int_transactions__resolved') }} as transactions
        on
            latest.customer_id = transactions.customer_id
            and latest.purchase_date = transactions.transaction_date
    where transactions.is_counted and not transactions.is_refund
    qualify row_number() over (
        partition by latest.period, latest.customer_id
        order by
            transactions.revenue_amount desc, {{ transaction_key('transactions') }} asc
    ) = 1

)

select
    latest.period,
    latest.customer_id,
    lines.channel,
    lines.country,
    lines.category,
    latest.value_amount as order_value,
    latest.gap_days,
    latest.purchase_date,
    latest.cutoff_date
from latest
left join lines
    on
        latest.period = lines.period
        and latest.customer_id = lines.customer_id
