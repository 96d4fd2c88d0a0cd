-- grain: one row per log whose state this run sees: the current one, and those that it continues
-- After a refused load it is still that of the last accepted one.
-- depends_on: {{ ref('int_as_of') }}
select
    log_id,
    is_current,
    seen_until
from {{ ref('int_logs__chosen') }}
