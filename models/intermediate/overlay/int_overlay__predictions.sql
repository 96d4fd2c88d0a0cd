-- grain: one row per customer, cutoff and candidate: the overlay's prediction and the baseline's
-- The overlay redistributes the baseline's total between customers: the predictions of every candidate
-- are scaled to the sum of the baseline.
{%- set predictions = {
    'offset': 'exp(scored.offset_score)',
    'free': 'exp(scored.free_score) / scored.offset_value',
    'two_stage': 'exp(scored.amount_score) / (1 + exp(-scored.buys_score)) / scored.offset_value',
} %}
with scored as (

    select
        scored.*,
        features.baseline_value,
        windows.floor_value,
        features.baseline_value + windows.floor_value as offset_value
    from {{ ref('int_overlay__scored') }} as scored
    inner join {{ ref('int_customer_features') }} as features
        on
            scored.customer_id = features.customer_id
            and scored.cutoff_date = features.cutoff_date
    inner join {{ ref('int_overlay__windows') }} as windows
        on scored.cutoff_date = windows.cutoff_date

),

candidates as (

    {% for candidate in shaped('clv_overlay_candidates') -%}
    select
        customer_id,
        cutoff_date,
        '{{ candidate }}' as candidate,
        {{ loop.index }} as preference,
        baseline_value,
        floor_value,
        offset_value,
        {{ predictions[candidate] }} as raw_factor
    from scored
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

anchors as (

    select
        cutoff_date,
        candidate,
        sum(baseline_value) / sum(raw_factor * offset_value) as anchor
    from candidates
    where raw_factor is not null
    group by 1, 2

)

select
    candidates.customer_id,
    candidates.candidate,
    candidates.preference,
    cohorts.cohort_group,
    candidates.baseline_value,
    candidates.floor_value,
    candidates.raw_factor * anchors.anchor as factor,
    candidates.raw_factor * anchors.anchor * candidates.offset_value as overlay_value,
    candidates.cutoff_date
from candidates
inner join anchors
    on
        candidates.cutoff_date = anchors.cutoff_date
        and candidates.candidate = anchors.candidate
inner join {{ ref('int_overlay__cohorts') }} as cohorts
    on
        candidates.customer_id = cohorts.customer_id
        and candidates.cutoff_date = cohorts.cutoff_date
where candidates.raw_factor is not null
