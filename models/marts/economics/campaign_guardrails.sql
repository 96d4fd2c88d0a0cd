-- grain: one row per campaign and treated arm: cost and redemptions so far, against plan
-- Does not read purchases, so daily runs can refresh it.
with plans as (

    select *
    from {{ ref('campaign_plans') }}

),

arms as (

    select
        campaign_id,
        arm,
        count(*) as customers,
        sum(cost_amount) as cost_amount,
        sum(case when is_redeemed then 1 else 0 end) as redeemed_customers,
        max(assigned_date) as last_assigned_date
    from {{ ref('int_campaigns__members') }}
    where arm != 'control'
    group by 1, 2

),

compared as (

    select
        arms.*,
        plans.planned_cost_amount,
        plans.planned_redemption_rate,
        cast(arms.cost_amount as {{ type_double() }})
        / nullif(cast(plans.planned_cost_amount as {{ type_double() }}), 0)
            as budget_used,
        -- With continuity correction, and from ten redemptions on: a campaign that goes by its plan
        -- then exceeds 3 in at most 5 of 1,000 cases, whatever its size.
        case
            when arms.redeemed_customers >= 10
                then
                    (
                        arms.redeemed_customers - 0.5
                        - arms.customers * plans.planned_redemption_rate
                    )
                    / sqrt(
                        arms.customers * plans.planned_redemption_rate
                        * (1 - plans.planned_redemption_rate)
                    )
        end as redemption_z
    from arms
    left join plans
        on
            arms.campaign_id = plans.campaign_id
            and arms.arm = plans.arm

)

select
    compared.campaign_id,
    compared.arm,
    compared.customers,
    {{ as_money('compared.cost_amount') }} as cost_amount,
    {{ as_money('compared.planned_cost_amount') }} as planned_cost_amount,
    compared.budget_used,
    compared.budget_used > {{ var('clv_campaign_budget_limit') }} as is_over_budget,
    cast(compared.redeemed_customers as {{ type_integer() }}) as redeemed_customers,
    1.0 * compared.redeemed_customers / compared.customers as redemption_rate,
    compared.planned_redemption_rate,
    compared.redemption_z,
    case
        when compared.planned_redemption_rate is not null
            then
                coalesce(
                    compared.redemption_z > {{ var('clv_campaign_redemption_limit') }},
                    false
                )
    end as is_frozen,
    compared.last_assigned_date,
    as_of.as_of_date
from compared
cross join {{ ref('int_as_of') }} as as_of
