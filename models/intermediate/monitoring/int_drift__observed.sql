-- grain: one row per period and customer who bought in it, with their latest purchase there
-- One purchase per customer, so that observations are independent and chance can be computed.
{%- set period_days = 91 %}
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
        known.value_amount
    from {{ ref('int_purchase_days__known') }} as known
    inner join windows
        on known.cutoff_date = windows.cutoff_date
    where known.is_on_plan is not true

),

latest_days as (

    select
        period,
        cutoff_date,
        customer_id,
        max(purchase_date) as purchase_date
    from known
    where purchase_date > {{ add_days('cutoff_date', -period_days) }}
    group by 1, 2, 3

),

latest as (

    select
        latest_days.period,
        latest_days.cutoff_date,
        latest_days.customer_id,
        latest_days.purchase_date,
        max(
            case
                when known.purchase_date < latest_days.purchase_date
                    then known.purchase_date
            end
        ) as purchase_date_before,
        max(
            case
                when known.purchase_date = latest_days.purchase_date
                    then known.value_amount
            end
        ) as value_amount
    from known
    inner join latest_days
        on
            known.period = latest_days.period
            and known.customer_id = latest_days.customer_id
    group by 1, 2, 3, 4

),

-- Attributes are those of the largest line of the day; of equal ones the first by name.
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
    where
        transactions.is_counted
        and not transactions.is_refund
        and {{ within_days(
            'transactions.transaction_date',
            ([0] + shaped('clv_backtest_days')) | max + period_days
        ) }}
    qualify row_number() over (
        partition by latest.period, latest.customer_id
        order by
            transactions.revenue_amount desc,
            coalesce(transactions.channel, ''),
            coalesce(transactions.country, ''),
            coalesce(transactions.category, '')
    ) = 1

)

select
    latest.period,
    latest.customer_id,
    lines.channel,
    lines.country,
    lines.category,
    latest.value_amount as order_value,
    {{ days_between('latest.purchase_date_before', 'latest.purchase_date') }}
        as gap_days,
    latest.purchase_date,
    latest.cutoff_date
from latest
left join lines
    on
        latest.period = lines.period
        and latest.customer_id = lines.customer_id
