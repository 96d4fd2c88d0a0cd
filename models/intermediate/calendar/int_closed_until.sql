-- grain: one row per project: the day from which daily runs may still change purchase days
-- Rebuilt by full runs only: purchase days before it are summed once and not read again. A daily run
-- with other settings would mix two definitions of value: check_daily refuses it.
{%- set lines_from = month_start(add_days('as_of_date', -var('clv_lookback_days'))) %}
select
    as_of_date,
    {{ lines_from }} as lines_closed_until,
    {{ month_start(add_days(lines_from, -var('clv_refund_days'))) }} as closed_until,
    '{{ daily_settings() }}' as settings
from {{ ref('int_as_of') }}
