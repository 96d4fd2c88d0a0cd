-- grain: one row per customer on a plan: what they have renewed, and whether they have left
-- Each purchase pays for the billing period in which it lies; periods count from the first purchase. Who has
-- signed up and not paid has no contract yet: as renewals not paid they would be losses, and those who
-- paid later no gains.
{%- set ends = "('cancelled', 'canceled', 'closed')" %}
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

members as (

    select
        listed.*,
        as_of.as_of_date,
        -- A payment may be this late, or this early, and still be that of its renewal.
        least(
            cast(floor(listed.billing_period_days / 4) as {{ type_integer() }}), 30
        ) as grace_days
    from {{ ref('int_contracts__listed') }} as listed
    cross join as_of

),

buyers as (

    select
        customer_id,
        first_purchase_date,
        last_purchase_date,
        value_amount
    from {{ ref('int_customers__current') }}

),

statuses as (

    select
        customer_id,
        status,
        status_date,
        is_suppressed
    from {{ ref('int_customers__status') }}

),

counted as (

    select
        members.*,
        buyers.first_purchase_date,
        buyers.last_purchase_date,
        buyers.value_amount,
        statuses.status,
        coalesce(statuses.is_suppressed, false) as is_suppressed,
        -- A purchase after a cancellation takes it back.
        coalesce(
            statuses.status in {{ ends }}
            and not coalesce(buyers.last_purchase_date > statuses.status_date, false)
            or statuses.is_suppressed and statuses.status != 'objects_to_profiling',
            false
        ) as has_ended,
        cast(
            floor(
                (
                    {{ days_between('buyers.first_purchase_date',
                        'buyers.last_purchase_date') }}
                    + members.grace_days
                ) / members.billing_period_days
            ) as {{ type_integer() }}
        ) as renewals,
        -- Renewals whose grace has ended: they are paid or lost for every customer alike.
        cast(
            floor(
                (
                    {{ days_between('buyers.first_purchase_date',
                        'members.as_of_date') }}
                    - members.grace_days
                ) / members.billing_period_days
            ) as {{ type_integer() }}
        ) as decided_renewals
    from members
    left join buyers
        on members.customer_id = buyers.customer_id
    left join statuses
        on members.customer_id = statuses.customer_id

),

dated as (

    select
        *,
        greatest(
            {{ add_days('last_purchase_date', 'billing_period_days') }},
            {{ add_days('first_purchase_date',
                '(renewals + 1) * billing_period_days') }}
        ) as next_renewal_date
    from counted

),

judged as (

    select
        *,
        has_ended
        or coalesce(
            {{ add_days('next_renewal_date', 'grace_days') }} < as_of_date, false
        ) as is_lost
    from dated

)

select
    customer_id,
    plan,
    billing_period_days,
    first_purchase_date,
    last_purchase_date,
    renewals,
    case
        when decided_renewals < 0 then 0
        when decided_renewals < renewals then decided_renewals
        else renewals
    end as counted_renewals,
    coalesce(is_lost and renewals < decided_renewals, false) as is_counted_loss,
    value_amount,
    case
        when is_suppressed and status not in {{ ends }} then 'suppressed'
        when first_purchase_date is null then 'not_started'
        when billing_period_days is null then 'no_billing_period'
        when has_ended then 'cancelled'
        when is_lost then 'lapsed'
        when next_renewal_date <= as_of_date then 'due'
        else 'active'
    end as contract_status,
    next_renewal_date,
    as_of_date
from judged
