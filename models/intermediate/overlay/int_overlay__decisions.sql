-- grain: one row per cutoff, candidate, cohort group (and everyone) and horizon: whether it may serve
-- The gate as of each cutoff, on the last two windows completed by then, never on training data. A
-- candidate wins overall if its squared error is significantly lower, its absolute error not
-- significantly higher and its bias not larger; it then serves every group but those in which it is
-- significantly worse. Without an overall win it serves the groups in which both errors are
-- significantly lower. Being worse at any other horizon counts too. Deviance is not used: a few
-- customers with an expectation near zero would dominate it.
{%- set fitted = var('clv_gate_horizon_days') %}
{%- set squared_days = 'cast(reasoned.worse_squared_days as ' ~ type_text() ~ ')' %}
{%- set absolute_days = 'cast(reasoned.worse_absolute_days as ' ~ type_text() ~ ')' %}
with cutoffs as (

    select distinct cutoff_date
    from {{ ref('int_overlay__windows') }}

),

losses as (

    select *
    from {{ ref('int_overlay__losses') }}

),

recent as (

    select
        cutoffs.cutoff_date,
        losses.candidate,
        losses.cohort_group,
        losses.horizon_days,
        losses.customers,
        losses.actual,
        losses.baseline,
        losses.overlaid,
        losses.baseline_squared,
        losses.overlaid_squared,
        losses.squared_excess,
        losses.squared_excess_squared,
        losses.absolute_excess,
        losses.absolute_excess_squared
    from cutoffs
    inner join losses
        on
            {{ add_days('losses.cutoff_date', 'losses.horizon_days') }}
            <= cutoffs.cutoff_date
    qualify row_number() over (
        partition by
            cutoffs.cutoff_date,
            losses.candidate,
            losses.cohort_group,
            losses.horizon_days
        order by losses.cutoff_date desc
    ) <= 2

),

summed as (

    select
        cutoff_date,
        candidate,
        cohort_group,
        horizon_days,
        sum(customers) as customers,
        sqrt(sum(baseline_squared) / sum(customers)) as baseline_rmse,
        sqrt(sum(overlaid_squared) / sum(customers)) as overlay_rmse,
        sum(baseline) / nullif(sum(actual), 0) - 1 as baseline_bias,
        sum(overlaid) / nullif(sum(actual), 0) - 1 as overlay_bias,
        {%- for excess in ['squared_excess', 'absolute_excess'] %}
        sum({{ excess }}) / sum(customers) as {{ excess }},
        1.645 * {{ standard_error(
            'sum(' ~ excess ~ ')', 'sum(' ~ excess ~ '_squared)', 'sum(customers)'
        ) | indent(8) }} as {{ excess }}_margin,
        {%- endfor %}
        count(*) as windows
    from recent
    group by 1, 2, 3, 4

),

judged as (

    select
        *,
        abs(overlay_bias) <= abs(baseline_bias) + 0.02 as is_unbiased,
        squared_excess + squared_excess_margin < 0 as is_better_squared,
        absolute_excess + absolute_excess_margin < 0 as is_better_absolute,
        squared_excess - squared_excess_margin > 0 as is_worse_squared,
        absolute_excess - absolute_excess_margin > 0 as is_worse_absolute
    from summed

),

-- Every group that is scored, with or without a completed window.
cohort_groups as (

    select distinct
        cutoff_date,
        candidate,
        preference,
        cohort_group
    from {{ ref('int_overlay__predictions') }}

    union all

    select distinct
        cutoff_date,
        candidate,
        preference,
        'everyone' as cohort_group
    from {{ ref('int_overlay__predictions') }}

),

verdicts as (

    select
        cohort_groups.cutoff_date,
        cohort_groups.candidate,
        cohort_groups.preference,
        cohort_groups.cohort_group,
        coalesce(
            max(
                case when judged.horizon_days = {{ fitted }} then judged.customers end
            ), 0
        ) as customers,
        {%- for error in ['squared', 'absolute'] %}
        min(case when judged.is_worse_{{ error }} then judged.horizon_days end)
            as worse_{{ error }}_days,
        {%- endfor %}
        max(
            case
                when judged.is_worse_squared or judged.is_worse_absolute then 1
                else 0
            end
        ) = 1 as is_worse,
        max(
            case
                when
                    judged.horizon_days = {{ fitted }}
                    and judged.is_better_squared
                    and judged.absolute_excess <= 0
                    and judged.is_unbiased
                    then 1
                else 0
            end
        ) = 1 as is_better,
        max(
            case
                when
                    judged.horizon_days = {{ fitted }}
                    and judged.is_better_squared
                    and judged.is_better_absolute
                    and judged.is_unbiased
                    then 1
                else 0
            end
        ) = 1 as is_significantly_better
    from cohort_groups
    left join judged
        on
            cohort_groups.cutoff_date = judged.cutoff_date
            and cohort_groups.candidate = judged.candidate
            and cohort_groups.cohort_group = judged.cohort_group
    group by 1, 2, 3, 4

),

decided as (

    select
        verdicts.*,
        everyone.customers > 0 as is_judged,
        everyone.is_better and not everyone.is_worse as is_won,
        verdicts.customers >= 100 as has_vote
    from verdicts
    inner join verdicts as everyone
        on
            verdicts.cutoff_date = everyone.cutoff_date
            and verdicts.candidate = everyone.candidate
            and everyone.cohort_group = 'everyone'

),

reasoned as (

    select
        *,
        case
            when not is_judged then 'no window has ended'
            when cohort_group = 'everyone' and is_won then 'better'
            when cohort_group = 'everyone' and is_worse then 'worse'
            when cohort_group = 'everyone' then 'not significantly better'
            when is_won and has_vote and is_worse then 'worse here'
            when is_won then 'better for everyone'
            when has_vote and is_significantly_better and not is_worse
                then 'better here'
            else 'not better overall, nor significantly here'
        end as reason
    from decided

),

horizons as (

    {{ horizon_rows() | indent(4) }}

)

select
    reasoned.candidate,
    reasoned.preference,
    reasoned.cohort_group,
    cast(horizons.horizon_days as {{ type_integer() }}) as horizon_days,
    reasoned.reason in ('better', 'better for everyone', 'better here') as is_overlay,
    reasoned.reason,
    case
        when reasoned.reason not in ('worse', 'worse here') then null
        when reasoned.worse_squared_days is null
            then concat('absolute error at ', {{ absolute_days }}, ' days')
        when reasoned.worse_absolute_days is null
            then concat('squared error at ', {{ squared_days }}, ' days')
        else concat(
            'squared error at ', {{ squared_days }}, ' days, ',
            'absolute error at ', {{ absolute_days }}, ' days'
        )
    end as worse_in,
    -- The first candidate that wins, else the first.
    dense_rank() over (
        partition by reasoned.cutoff_date
        order by
            case when reasoned.is_won then 0 else 1 end,
            reasoned.preference
    ) = 1 as is_chosen,
    cast(coalesce(judged.windows, 0) as {{ type_integer() }}) as windows,
    cast(coalesce(judged.customers, 0) as {{ type_integer() }}) as customers,
    judged.baseline_rmse,
    judged.overlay_rmse,
    judged.baseline_bias,
    judged.overlay_bias,
    judged.squared_excess,
    judged.squared_excess_margin,
    judged.absolute_excess,
    judged.absolute_excess_margin,
    reasoned.cutoff_date
from reasoned
cross join horizons
left join judged
    on
        reasoned.cutoff_date = judged.cutoff_date
        and reasoned.candidate = judged.candidate
        and reasoned.cohort_group = judged.cohort_group
        and horizons.horizon_days = judged.horizon_days
