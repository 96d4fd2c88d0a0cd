-- grain: one row per backtest cutoff whose outcomes over the gate's horizon are known
-- Decides whether the seasonal index is used; empty unless var clv_season is auto.
{%- set horizon = var('clv_gate_horizon_days') %}
select
    cutoff_date,
    {{ add_days('cutoff_date', horizon) }} as known_from,
    count(*) as customers,
    sum(purchases_{{ horizon }}d) as purchases
from {{ ref('int_histories__held_out') }}
where
    purchases_{{ horizon }}d is not null
    and {{ var('clv_season') == 'auto' and not is_monthly() }}
group by 1, 2
