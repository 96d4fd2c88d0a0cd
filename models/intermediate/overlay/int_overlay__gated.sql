-- grain: one row per customer and cutoff: the candidate that the gate chose, and whether it serves them
select
    predictions.customer_id,
    predictions.candidate,
    predictions.cohort_group,
    predictions.baseline_value,
    predictions.floor_value,
    predictions.factor,
    predictions.overlay_value,
    decisions.is_overlay,
    predictions.cutoff_date
from {{ ref('int_overlay__predictions') }} as predictions
inner join {{ ref('int_overlay__decisions') }} as decisions
    on
        predictions.cutoff_date = decisions.cutoff_date
        and predictions.candidate = decisions.candidate
        and predictions.cohort_group = decisions.cohort_group
        and decisions.is_chosen
        and decisions.horizon_days = {{ var('clv_gate_horizon_days') }}
