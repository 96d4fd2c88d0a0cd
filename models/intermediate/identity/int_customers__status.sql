-- grain: one row per customer whose status was set by hand: the latest one
with customer_status as (

    select *
    from {{ ref('stg_customer_status') }}

),

as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

identities as (

    select
        identifier,
        customer_id
    from {{ ref('int_identities__resolved') }}

),

buyers as (

    select
        customer_id,
        last_purchase_date
    from {{ ref('int_customers__current') }}

),

statuses as (

    select
        coalesce(identities.customer_id, customer_status.user_id) as customer_id,
        customer_status.status,
        customer_status.effective_at,
        {{ local_date('customer_status.effective_at') }} as status_date,
        as_of.as_of_date
    from customer_status
    cross join as_of
    left join identities
        on customer_status.user_id = identities.identifier

),

latest as (

    select *
    from statuses
    where
        customer_id is not null
        and (status_date is null or status_date <= as_of_date)
    qualify row_number() over (
        partition by customer_id
        order by
            case when effective_at is null then 1 else 0 end asc,
            effective_at desc,
            status asc
    ) = 1

)

select
    latest.customer_id,
    latest.status,
    latest.status_date,
    -- A purchase after the day of the status opens the customer again.
    coalesce(
        latest.status in (
            {%- for status in shaped('clv_suppressed_statuses') %}
            '{{ status }}',
            {%- endfor %}
            ''
        )
        and coalesce(buyers.last_purchase_date <= latest.status_date, true),
        false
    ) as is_suppressed
from latest
left join buyers
    on latest.customer_id = buyers.customer_id
