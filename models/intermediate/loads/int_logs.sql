-- grain: one row per log whose state this run sees: the current one, and those that it continues
-- A load with a fault is refused before this model is built, and so before everything downstream.
-- depends_on: {{ ref('int_loads__checked') }}
select
    log_id,
    is_current,
    seen_until
from {{ ref('int_logs__chosen') }}
