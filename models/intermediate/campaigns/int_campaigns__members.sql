-- grain: one row per campaign and customer assigned to one of its arms
{%- set controls = shaped('clv_control_arms') | join("', '") | lower %}
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

identities as (

    select
        identifier,
        customer_id
    from {{ ref('int_identities__resolved') }}

),

assigned as (

    select
        assignments.campaign_id,
        coalesce(identities.customer_id, assignments.user_id) as customer_id,
        case
            when
                lower(assignments.arm) in ('{{ controls }}')
                then 'control'
            else lower(assignments.arm)
        end as arm,
        assignments.cost_amount,
        assignments.assigned_at,
        {{ local_date('assignments.assigned_at') }} as assigned_date,
        -- Redemptions after the as-of date are not known yet.
        coalesce(
            {{ local_date('assignments.redeemed_at') }} <= as_of.as_of_date, false
        ) as is_redeemed
    from {{ ref('stg_campaign_assignments') }} as assignments
    cross join as_of
    left join identities
        on assignments.user_id = identities.identifier
    where
        assignments.campaign_id is not null
        and assignments.user_id is not null
        and assignments.arm is not null
        and {{ local_date('assignments.assigned_at') }} <= as_of.as_of_date

)

-- Intention to treat: the first assignment counts, whatever happened afterwards.
select
    campaign_id,
    customer_id,
    arm,
    min(arm) over (partition by campaign_id, customer_id)
    != max(arm) over (partition by campaign_id, customer_id) as is_in_two_arms,
    sum(cost_amount) over (partition by campaign_id, customer_id) as cost_amount,
    max(case when is_redeemed then 1 else 0 end)
        over (partition by campaign_id, customer_id)
    = 1 as is_redeemed,
    assigned_date
from assigned
qualify row_number() over (
    partition by campaign_id, customer_id
    order by assigned_at, arm
) = 1
