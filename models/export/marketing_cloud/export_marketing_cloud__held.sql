-- grain: one row per target, with what it holds as the ledger knows
with targets as (

    {% for target in export_targets() -%}
    select '{{ target }}' as target
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

counted as (

    select
        target,
        sum(case when synced_op = 'upsert' or is_uncertain then 1 else 0 end)
            as active_rows,
        sum(
            case
                when synced_op is not null and synced_hash != 'absent' then 1
                else 0
            end
        ) as proven_rows,
        sum(
            case
                when is_uncertain and coalesce(synced_hash, 'absent') = 'absent' then 1
                else 0
            end
        ) as doubtful_rows
    from {{ ref('export_marketing_cloud__synced') }}
    group by 1

),

-- Runs are numbered whatever log they are of: a destination knows no logs.
numbers as (

    select
        target,
        run_number,
        case when has_synced then 1 else 0 end as syncs
    from {{ ref('export_marketing_cloud__runs') }}

    union all

    select
        target,
        run_number,
        0 as syncs
    from {{ source('clv_state', 'export_ledger') }}

),

runs as (

    select
        target,
        max(run_number) as last_run_number,
        max(syncs) as syncs
    from numbers
    group by 1

)

select
    targets.target,
    cast(coalesce(counted.active_rows, 0) as {{ type_integer() }}) as active_rows,
    cast(coalesce(counted.proven_rows, 0) as {{ type_integer() }}) as proven_rows,
    cast(coalesce(counted.doubtful_rows, 0) as {{ type_integer() }}) as doubtful_rows,
    coalesce(runs.last_run_number, 0) as last_run_number,
    coalesce(counted.proven_rows + counted.doubtful_rows > 0, false)
    and coalesce(runs.syncs = 1, false) as has_synced
from targets
left join counted
    on targets.target = counted.target
left join runs
    on targets.target = runs.target
