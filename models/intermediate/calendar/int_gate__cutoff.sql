-- grain: one row per project: the latest cutoff whose outcomes over the gate's horizon are known
select
    cutoff_date,
    as_of_date
from {{ ref('int_cutoffs') }}
where
    not is_production
    and {{ add_days('cutoff_date', var('clv_gate_horizon_days')) }} <= as_of_date
qualify row_number() over (order by cutoff_date desc) = 1
