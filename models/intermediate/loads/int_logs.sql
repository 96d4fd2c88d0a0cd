-- grain: one row per log whose state this run sees: the current one, and those that it goes on from
-- A load with a fault is refused before it is built, and so before everything else: what the last run
-- saw stays as it is.
-- depends_on: {{ ref('int_loads__checked') }}
select
    log_id,
    is_current,
    seen_until
from {{ ref('int_logs__chosen') }}
