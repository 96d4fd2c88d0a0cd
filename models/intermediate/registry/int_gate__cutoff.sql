-- grain: one row per project: the latest cutoff whose outcomes over the gate's horizon are known
select
    max(cutoff_date) as cutoff_date,
    max(as_of_date) as as_of_date
from {{ ref('int_cutoffs') }}
where
    not is_production
    and {{ add_days('cutoff_date', var('clv_gate_horizon_days')) }} <= as_of_date
having max(cutoff_date) is not null
