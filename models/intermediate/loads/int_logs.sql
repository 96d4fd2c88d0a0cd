-- grain: one row per log whose state this run sees: the current one, and those that it goes on from
-- Built once the load is not refused, so that a refused one leaves what the last run saw.
-- depends_on: {{ ref('int_as_of') }}
select
    log_id,
    is_current,
    seen_until
from {{ ref('int_logs__chosen') }}
