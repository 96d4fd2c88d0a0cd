-- grain: one row per horizon: whether the log suffices for a forecast and for its backtest
-- As of the last full run, which fits and backtests; a daily run does neither.
select
    readiness.horizon_days,
    readiness.status,
    readiness.is_forecast,
    readiness.reason,
    readiness.log_days,
    readiness.buyers,
    readiness.repeat_customers,
    readiness.completed_windows,
    regularity.regular_share,
    -- A withheld forecast needs no warning.
    case when readiness.is_forecast then regularity.warning end as warning,
    readiness.cutoff_date as as_of_date
from {{ ref('int_readiness') }} as readiness
cross join {{ ref('int_purchases__regularity') }} as regularity
where readiness.is_production
