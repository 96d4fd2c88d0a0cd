-- grain: one row per campaign and customer assigned to one of its arms, with their margin since
-- The covariate is fixed before the campaign: the CLV at the latest backtest cutoff before its first
-- day, fitted on what was known then, or, where no cutoff is that old, the margin of the year before.
{%- set window = var('clv_campaign_window_days') %}
{%- set horizon = [30, 90, 180, 365] | select('ge', window) | first | default(365) %}
{%- set day_before = add_days('members.assigned_date', -1) %}
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}
    where not is_production

),

members as (

    select
        assigned.*,
        least({{ add_days('assigned.assigned_date', window - 1) }}, as_of.as_of_date)
            as outcome_until,
        {{ add_days('assigned.assigned_date', window - 1) }} <= as_of.as_of_date
            as is_completed,
        min(assigned.assigned_date) over (partition by assigned.campaign_id)
            as campaign_start
    from {{ ref('int_campaigns__members') }} as assigned
    cross join as_of

),

starts as (

    select distinct
        campaign_id,
        campaign_start
    from members

),

scored_on as (

    select
        starts.campaign_id,
        max(cutoffs.cutoff_date) as cutoff_date
    from starts
    inner join cutoffs
        on starts.campaign_start > cutoffs.cutoff_date
    group by 1

),

scores as (

    select
        scored_on.campaign_id,
        predictions.customer_id,
        predictions.clv_{{ horizon }}d as clv
    from {{ ref('int_predictions__expected') }} as predictions
    inner join scored_on
        on predictions.cutoff_date = scored_on.cutoff_date
    where
        predictions.is_current_spec
        and {{ before_as_of('predictions.cutoff_date') }}

),

-- Margin of purchase days, as known at the end of each window.
margins as (

    select
        members.campaign_id,
        members.customer_id,
        sum(
            case
                when
                    purchase_days.purchase_date >= members.assigned_date
                    and {{ known_at('members.outcome_until') | indent(16) }}
                    then purchase_days.margin_amount
            end
        ) as margin_amount,
        sum(
            case
                when
                    purchase_days.purchase_date < members.assigned_date
                    and {{ known_at(day_before) | indent(16) }}
                    then purchase_days.margin_amount
            end
        ) as past_margin
    from members
    inner join {{ ref('int_purchase_days') }} as purchase_days
        on
            members.customer_id = purchase_days.customer_id
            and members.outcome_until >= purchase_days.purchase_date
            and purchase_days.purchase_date
            >= {{ add_days('members.assigned_date', -365) }}
    group by 1, 2

)

select
    members.campaign_id,
    members.customer_id,
    members.arm,
    members.is_in_two_arms,
    members.cost_amount,
    {%- if var('clv_value') == 'none' %}
    cast(null as {{ type_money() }}) as margin_amount,
    cast(null as {{ type_double() }}) as covariate,
    {%- else %}
    {{ as_money('coalesce(margins.margin_amount, 0)') }} as margin_amount,
    case
        when scored_on.cutoff_date is not null then coalesce(scores.clv, 0)
        else cast(coalesce(margins.past_margin, 0) as {{ type_double() }})
    end as covariate,
    {%- endif %}
    case when scored_on.cutoff_date is not null then 'clv' else 'past_margin' end
        as covariate_source,
    members.is_completed,
    members.assigned_date,
    scored_on.cutoff_date
from members
left join scored_on
    on members.campaign_id = scored_on.campaign_id
left join scores
    on
        members.campaign_id = scores.campaign_id
        and members.customer_id = scores.customer_id
left join margins
    on
        members.campaign_id = margins.campaign_id
        and members.customer_id = margins.customer_id
