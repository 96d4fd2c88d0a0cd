-- grain: one row per customer with an overlay: its prediction and the baseline's, served or not
{%- if var('clv_overlay') %}
select
    gated.customer_id,
    cast({{ var('clv_gate_horizon_days') }} as {{ type_integer() }}) as horizon_days,
    gated.cohort_group,
    gated.candidate,
    gated.is_overlay,
    gated.baseline_value,
    gated.overlay_value,
    greatest(scored.p50_score, 0) as overlay_value_p50,
    greatest(scored.p90_score, scored.p50_score, 0) as overlay_value_p90,
    gated.cutoff_date as as_of_date
from {{ ref('int_overlay__gated') }} as gated
inner join {{ ref('int_cutoffs') }} as cutoffs
    on gated.cutoff_date = cutoffs.cutoff_date
inner join {{ ref('int_overlay__scored') }} as scored
    on
        gated.customer_id = scored.customer_id
        and gated.cutoff_date = scored.cutoff_date
where cutoffs.is_production
{%- else %}
{{ empty_relation({
    'customer_id': type_text(), 'horizon_days': type_integer(), 'cohort_group': type_text(),
    'candidate': type_text(), 'is_overlay': 'boolean', 'baseline_value': type_double(),
    'overlay_value': type_double(), 'overlay_value_p50': type_double(),
    'overlay_value_p90': type_double(), 'as_of_date': 'date',
}) }}
{%- endif %}
