-- grain: one row per target and kind of key, with how many rows the target holds as the ledger knows
select
    target,
    coalesce(key_id, '') as key_id,
    cast(
        sum(case when shipped_op = 'upsert' or is_uncertain then 1 else 0 end)
        as {{ type_integer() }}
    ) as active_rows,
    cast(
        sum(
            case
                when shipped_op is not null and shipped_hash != 'absent' then 1
                else 0
            end
        )
        as {{ type_integer() }}
    ) as proven_rows,
    cast(
        sum(
            case
                when is_uncertain and coalesce(shipped_hash, 'absent') = 'absent' then 1
                else 0
            end
        )
        as {{ type_integer() }}
    ) as doubtful_rows,
    cast(
        sum(case when shipped_op = 'upsert' and is_newest then 1 else 0 end)
        as {{ type_integer() }}
    ) as customers
from {{ ref('export_marketing_cloud__shipped') }}
group by 1, 2
