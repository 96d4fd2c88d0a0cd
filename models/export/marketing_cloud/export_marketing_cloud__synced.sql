-- grain: one row per target and key ever sent or found there: what the ledger proves it holds
-- Of this log, whatever the as-of date of what was sent: a destination knows no dates. Steps follow each
-- other by the number of their run (before there were any, by the start in its id), then by chunk.
{%- set of_key = 'over (partition by target, customer_key)' %}
with logs as (

    select distinct {{ log_family('log_id') }} as family
    from {{ ref('export_marketing_cloud__candidates') }}

),

-- What a run did with a key in one chunk: an intent, and its outcome if there is one.
steps as (

    select
        ledger.target,
        ledger.customer_key,
        coalesce(ledger.run_number, 0) as run_number,
        ledger.run_id,
        coalesce(ledger.chunk, 0) as place,
        ledger.op,
        ledger.row_hash,
        ledger.customer_id,
        ledger.key_id,
        max(case when ledger.is_synced then 1 else 0 end) as confirmations,
        max(case when ledger.is_synced or ledger.is_transient then 0 else 1 end)
            as refusals
    from {{ source('clv_state', 'export_ledger') }} as ledger
    inner join logs
        on {{ log_family('ledger.log_id') }} = logs.family
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9

),

ordered as (

    select
        *,
        row_number() over (
            partition by target, customer_key
            order by run_number asc, run_id asc, place asc
        ) as step,
        lead(run_id) over (
            partition by target, customer_key
            order by run_number asc, run_id asc, place asc
        ) as next_run_id
    from steps

),

-- Open: no outcome, and nothing that its run did with the key later.
marked as (

    select
        *,
        case
            when confirmations + refusals > 0 then 0
            when next_run_id = run_id then 0
            else step
        end as open_step
    from ordered

),

known as (

    select
        target,
        customer_key,
        op,
        row_hash,
        customer_id,
        refusals,
        step,
        max(customer_id) {{ of_key }} as some_customer_id,
        max(key_id) {{ of_key }} as key_id,
        max(step) {{ of_key }} as last_step,
        max(case when confirmations = 1 then step else 0 end) {{ of_key }}
            as confirmed_step,
        max(open_step) {{ of_key }} as open_step,
        max(case when op = 'upsert' then open_step else 0 end) {{ of_key }}
            as open_upsert,
        max(case when op = 'upsert' then run_number end) {{ of_key }} as upserted_in
    from marked

),

rejections as (

    select
        target,
        customer_key,
        row_hash as rejected_hash,
        count(*) as rejection_count
    from known
    where refusals = 1 and step > confirmed_step
    group by 1, 2, 3
    qualify row_number() over (
        partition by target, customer_key order by max(step) desc
    ) = 1

),

by_key as (

    select
        target,
        customer_key,
        coalesce(customer_id, some_customer_id) as customer_id,
        key_id,
        case when step = confirmed_step then op end as synced_op,
        case when step = confirmed_step then row_hash end as synced_hash,
        open_step > confirmed_step as is_uncertain,
        case
            when step = confirmed_step and op = 'upsert' then 1
            when open_upsert > confirmed_step then 1
            else 0
        end as may_be_active,
        upserted_in
    from known
    where step = case when confirmed_step > 0 then confirmed_step else last_step end

),

ranked as (

    select
        *,
        row_number() over (
            partition by
                target,
                coalesce(customer_id, concat('key ', customer_key)),
                coalesce(key_id, '') = 'subscriber_key'
            order by may_be_active desc, upserted_in desc, customer_key asc
        ) as position
    from by_key

)

select
    ranked.target,
    ranked.customer_key,
    ranked.customer_id,
    ranked.key_id,
    ranked.synced_op,
    ranked.synced_hash,
    ranked.is_uncertain,
    ranked.position = 1 and ranked.customer_id is not null as is_newest,
    rejections.rejected_hash,
    coalesce(rejections.rejection_count, 0) as rejection_count
from ranked
left join rejections
    on
        ranked.target = rejections.target
        and ranked.customer_key = rejections.customer_key
