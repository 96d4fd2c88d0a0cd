-- The revenue counted in revenue_reconciliation is that of customers, to the cent; the lines of
-- transactions also hold the unmatched refunds, and cohorts leave out the days without
-- positive revenue.
with totals as (

    select
        'revenue_reconciliation' as mart,
        coalesce(sum(case when is_counted then revenue_amount end), 0) as revenue_amount
    from {{ ref('revenue_reconciliation') }}

    union all

    select
        'customers' as mart,
        coalesce(sum(revenue_amount), 0) as revenue_amount
    from {{ ref('customers') }}

    union all

    select
        'transactions' as mart,
        coalesce(sum(revenue_amount), 0) as revenue_amount
    from {{ ref('transactions') }}

    union all

    select
        'transactions' as mart,
        -revenue_amount as revenue_amount
    from {{ ref('revenue_reconciliation') }}
    where disposition = 'unmatched_refund'

    union all

    select
        'cohorts' as mart,
        coalesce(sum(revenue_amount), 0) as revenue_amount
    from {{ ref('cohorts') }}

    union all

    select
        'cohorts' as mart,
        coalesce(sum(revenue_amount), 0) as revenue_amount
    from {{ ref('int_purchase_days') }}
    where not is_purchase and known_until is null

),

by_mart as (

    select
        mart,
        sum(revenue_amount) as revenue_amount
    from totals
    group by 1

)

select
    by_mart.mart,
    by_mart.revenue_amount,
    counted.revenue_amount as counted_amount
from by_mart
inner join by_mart as counted
    on counted.mart = 'revenue_reconciliation'
where by_mart.revenue_amount != counted.revenue_amount
