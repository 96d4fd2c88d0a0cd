-- grain: one row per cohort group and horizon: whether the overlay serves it, and on what evidence
{%- if var('clv_overlay') %}
select
    decisions.cohort_group,
    decisions.horizon_days,
    decisions.candidate,
    decisions.windows as cutoffs,
    decisions.customers,
    decisions.baseline_rmse,
    decisions.overlay_rmse,
    decisions.baseline_bias,
    decisions.overlay_bias,
    decisions.absolute_excess,
    decisions.absolute_excess_margin,
    decisions.is_overlay,
    case
        when decisions.worse_in is not null
            then concat(decisions.reason, ': ', decisions.worse_in)
        when decisions.windows = 0 and decisions.reason != 'no window has ended'
            then concat(
                decisions.reason, ' over shorter horizons: no window of this has ended'
            )
        else decisions.reason
    end as reason,
    decisions.cutoff_date as as_of_date
from {{ ref('int_overlay__decisions') }} as decisions
inner join {{ ref('int_cutoffs') }} as cutoffs
    on decisions.cutoff_date = cutoffs.cutoff_date
where cutoffs.is_production and decisions.is_chosen
{%- else %}
{{ empty_relation({
    'cohort_group': type_text(), 'horizon_days': type_integer(), 'candidate': type_text(),
    'cutoffs': type_integer(), 'customers': type_integer(), 'baseline_rmse': type_double(),
    'overlay_rmse': type_double(), 'baseline_bias': type_double(),
    'overlay_bias': type_double(), 'absolute_excess': type_double(),
    'absolute_excess_margin': type_double(), 'is_overlay': 'boolean', 'reason': type_text(),
    'as_of_date': 'date',
}) }}
{%- endif %}
