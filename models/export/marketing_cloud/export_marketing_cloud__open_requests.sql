-- grain: one row per target, run and chunk of which something may still be under way there
{%- set marks = "('settled', 'resent', 'refused')" %}
with intents as (

    select
        target,
        run_id,
        chunk,
        max(run_number) as run_number,
        max(recorded_at) as intended_at,
        max(case when code = 'sent' then 0 else 1 end) as outcomes
    from {{ source('clv_state', 'export_ledger') }}
    where code != 'found'
    group by 1, 2, 3

),

noted as (

    select
        target,
        run_id,
        chunk,
        request_id,
        count(*) as notes,
        max(recorded_at) as noted_at
    from {{ source('clv_state', 'export_requests') }}
    group by 1, 2, 3, 4

),

-- One request for the intent, one for each that was sent again, but for those that failed.
known as (

    select
        target,
        run_id,
        chunk,
        max(noted_at) as noted_at,
        max(case when request_id = 'settled' then 1 else 0 end) as settlements,
        sum(
            case request_id
                when 'settled' then 0
                when 'resent' then notes
                when 'refused' then -notes
                else -1
            end
        ) as surplus,
        {{ dbt.listagg(
            'case when request_id not in ' ~ marks ~ ' then request_id end', "','"
        ) }} as request_ids
    from noted
    group by 1, 2, 3

),

-- Of sfmc alone a request may hold rows before its id is known.
judged as (

    select
        intents.target,
        intents.run_id,
        intents.run_number,
        intents.chunk,
        intents.outcomes,
        case when intents.outcomes = 0 then known.request_ids end as request_ids,
        case
            when intents.target = 'sfmc' then 1 + coalesce(known.surplus, 0) else 0
        end as unknown_requests,
        greatest(intents.intended_at, coalesce(known.noted_at, intents.intended_at))
            as last_seen_at
    from intents
    left join known
        on
            intents.target = known.target
            and intents.run_id = known.run_id
            and intents.chunk = known.chunk
    where coalesce(known.settlements, 0) = 0

)

select
    target,
    run_id,
    run_number,
    chunk,
    request_ids,
    cast(unknown_requests as {{ type_integer() }}) as unknown_requests,
    last_seen_at
from judged
where outcomes = 0 or unknown_requests > 0
