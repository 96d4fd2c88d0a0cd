-- grain: one row per target and customer ever sent there: what the ledger proves it holds
-- Of this log, whatever the as-of date of what was sent: a destination knows no dates.
with logs as (

    select distinct {{ log_family('log_id') }} as family
    from {{ ref('export_marketing_cloud__exclusions') }}

),

ledger as (

    select entries.*
    from {{ source('clv_state', 'export_ledger') }} as entries
    inner join logs
        on {{ log_family('entries.log_id') }} = logs.family

),

-- A run sends a customer once; its intent is settled when an outcome follows.
by_run as (

    select
        target,
        customer_key,
        run_id,
        max(case when is_shipped then op end) as shipped_op,
        max(case when is_shipped then row_hash end) as shipped_hash,
        max(case when is_shipped then recorded_at end) as shipped_at,
        max(case when not is_shipped and not is_transient then row_hash end)
            as rejected_hash,
        min(case when is_transient then 1 else 0 end) = 1 as is_open,
        max(recorded_at) as last_at
    from ledger
    group by 1, 2, 3

),

dated as (

    select
        *,
        max(shipped_at) over (partition by target, customer_key) as confirmed_at
    from by_run

),

rejections as (

    select
        target,
        customer_key,
        rejected_hash,
        count(*) as rejection_count
    from dated
    where
        rejected_hash is not null
        and (confirmed_at is null or last_at > confirmed_at)
    group by 1, 2, 3
    qualify row_number() over (
        partition by target, customer_key order by max(last_at) desc
    ) = 1

),

by_customer as (

    select
        target,
        customer_key,
        max(case when shipped_at = confirmed_at then shipped_op end) as shipped_op,
        max(case when shipped_at = confirmed_at then shipped_hash end)
            as shipped_hash,
        max(
            case
                when is_open and (confirmed_at is null or last_at > confirmed_at)
                    then 1
                else 0
            end
        ) = 1 as is_uncertain
    from dated
    group by 1, 2

)

select
    by_customer.target,
    by_customer.customer_key,
    by_customer.shipped_op,
    by_customer.shipped_hash,
    by_customer.is_uncertain,
    rejections.rejected_hash,
    coalesce(rejections.rejection_count, 0) as rejection_count
from by_customer
left join rejections
    on
        by_customer.target = rejections.target
        and by_customer.customer_key = rejections.customer_key
