-- Lines delivered = lines in revenue_reconciliation: nothing is lost or doubled on the way.
with delivered as (

    select count(*) as line_count
    from {{ ref('stg_transactions') }}

),

reconciled as (

    select sum(line_count) as line_count
    from {{ ref('revenue_reconciliation') }}

)

select
    delivered.line_count as delivered_lines,
    reconciled.line_count as reconciled_lines
from delivered
cross join reconciled
where delivered.line_count != reconciled.line_count
