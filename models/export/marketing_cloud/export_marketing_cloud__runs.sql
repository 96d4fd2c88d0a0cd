-- grain: one row per target and run of the export, of whatever log
select
    target,
    run_id,
    max(coalesce(run_number, 0)) as run_number,
    max(mode) as mode,
    max(log_id) as log_id,
    max(as_of_date) as as_of_date,
    max(recorded_at) as last_seen_at,
    max(case when event = 'ended' then 1 else 0 end) = 1 as has_ended,
    max(case when event = 'ended' then exit_code end) as exit_code,
    max(case when event = 'ended' and exit_code = 6 then 1 else 0 end) = 1
        as has_given_way,
    max(
        case
            when
                event = 'ended'
                and exit_code in (0, 1)
                and mode in ('delta', 'full', 'rotate')
                then 1
            else 0
        end
    ) = 1 as has_synced
from {{ source('clv_state', 'export_runs') }}
group by 1, 2
