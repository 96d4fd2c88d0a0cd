-- grain: one row per target and key ever sent or found there: what the ledger proves it holds
-- Of this log, whatever the as-of date of what was sent: a destination knows no dates. Runs are ordered by
-- their number (before there were any, by the start in their id), and within a run by chunk.
with logs as (

    select distinct {{ log_family('log_id') }} as family
    from {{ ref('export_marketing_cloud__candidates') }}

),

ledger as (

    select
        entries.*,
        coalesce(entries.chunk, 0) as place,
        concat(
            lpad(cast(coalesce(entries.run_number, 0) as {{ type_text() }}), 12, '0'),
            '|', entries.run_id
        ) as run_order
    from {{ source('clv_state', 'export_ledger') }} as entries
    inner join logs
        on {{ log_family('entries.log_id') }} = logs.family

),

confirmed as (

    select
        target,
        customer_key,
        op as shipped_op,
        row_hash as shipped_hash,
        run_order as confirmed_in
    from ledger
    where is_shipped
    qualify row_number() over (
        partition by target, customer_key
        order by run_order desc, place desc, recorded_at desc, op asc
    ) = 1

),

owners as (

    select
        target,
        customer_key,
        customer_id,
        key_id
    from ledger
    qualify row_number() over (
        partition by target, customer_key
        order by
            case when customer_id is null then 1 else 0 end,
            run_order desc,
            place desc,
            coalesce(key_id, '') desc
    ) = 1

),

-- An intent is settled when an outcome follows in its run.
by_run as (

    select
        target,
        customer_key,
        run_order,
        max(case when not is_shipped and not is_transient then row_hash end)
            as rejected_hash,
        max(case when is_transient then place end)
        > coalesce(max(case when not is_transient then place end), -1) as is_open,
        max(case when op = 'upsert' then run_order end) as upserted_in
    from ledger
    group by 1, 2, 3

),

compared as (

    select
        by_run.target,
        by_run.customer_key,
        by_run.run_order,
        by_run.rejected_hash,
        by_run.is_open,
        by_run.upserted_in,
        confirmed.shipped_op,
        confirmed.shipped_hash,
        coalesce(by_run.run_order > confirmed.confirmed_in, true) as is_later,
        coalesce(by_run.run_order >= confirmed.confirmed_in, true) as is_not_before
    from by_run
    left join confirmed
        on
            by_run.target = confirmed.target
            and by_run.customer_key = confirmed.customer_key

),

rejections as (

    select
        target,
        customer_key,
        rejected_hash,
        count(*) as rejection_count
    from compared
    where rejected_hash is not null and is_later
    group by 1, 2, 3
    qualify row_number() over (
        partition by target, customer_key order by max(run_order) desc
    ) = 1

),

by_key as (

    select
        target,
        customer_key,
        max(shipped_op) as shipped_op,
        max(shipped_hash) as shipped_hash,
        max(case when is_open and is_not_before then 1 else 0 end) = 1 as is_uncertain,
        max(
            case when is_open and is_not_before then upserted_in end
        ) as uncertain_in,
        max(upserted_in) as upserted_in
    from compared
    group by 1, 2

),

owned as (

    select
        by_key.*,
        owners.customer_id,
        owners.key_id
    from by_key
    inner join owners
        on
            by_key.target = owners.target
            and by_key.customer_key = owners.customer_key

),

-- Of a customer's keys, first those that may be active there.
ranked as (

    select
        *,
        row_number() over (
            partition by target, customer_id, coalesce(key_id, '') = 'subscriber_key'
            order by
                case
                    when shipped_op = 'upsert' or uncertain_in is not null then 0
                    else 1
                end asc,
                upserted_in desc,
                customer_key asc
        ) as position
    from owned
    where customer_id is not null

)

select
    owned.target,
    owned.customer_key,
    owned.customer_id,
    owned.key_id,
    owned.shipped_op,
    owned.shipped_hash,
    owned.is_uncertain,
    coalesce(ranked.position = 1, false) as is_newest,
    rejections.rejected_hash,
    coalesce(rejections.rejection_count, 0) as rejection_count
from owned
left join ranked
    on
        owned.target = ranked.target
        and owned.customer_key = ranked.customer_key
left join rejections
    on
        owned.target = rejections.target
        and owned.customer_key = rejections.customer_key
