-- grain: one row per customer on a plan, as input customers lists them
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

listed as (

    select
        coalesce(identities.customer_id, customers.user_id) as customer_id,
        customers.user_id,
        customers.plan,
        case
            when customers.billing_period_days between 7 and 3660
                then customers.billing_period_days
        end as billing_period_days,
        customers.signed_up_at
    from {{ ref('stg_customers') }} as customers
    cross join as_of
    left join identities
        on customers.user_id = identities.identifier
    where
        customers.user_id is not null
        and customers.plan is not null
        and (
            customers.signed_up_at is null
            or {{ local_date('customers.signed_up_at') }} <= as_of.as_of_date
        )

)

-- As other attributes: of several user ids the first to sign up, then the smallest.
select
    customer_id,
    plan,
    billing_period_days
from listed
qualify row_number() over (
    partition by customer_id
    order by
        case when signed_up_at is null then 1 else 0 end,
        signed_up_at,
        user_id,
        plan,
        billing_period_days
) = 1
