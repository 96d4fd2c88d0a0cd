-- grain: one row per customer, buyer or not
with profiled as (

    select *
    from {{ ref('int_customers__profiled') }}

),

as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

bought as (

    select *
    from {{ ref('int_purchases__to_date') }}

),

statuses as (

    select
        coalesce(identities.customer_id, customer_status.user_id) as customer_id,
        customer_status.status,
        customer_status.effective_at
    from {{ ref('stg_customer_status') }} as customer_status
    cross join as_of
    left join {{ ref('int_identities__resolved') }} as identities
        on customer_status.user_id = identities.identifier
    where
        customer_status.effective_at is null
        or {{ local_date('customer_status.effective_at') }} <= as_of.as_of_date

),

latest_status as (

    select
        customer_id,
        status
    from statuses
    qualify row_number() over (
        partition by customer_id
        order by
            case when effective_at is null then 1 else 0 end asc,
            effective_at desc,
            status asc
    ) = 1

)

select
    profiled.customer_id,
    profiled.account_id,
    profiled.country,
    profiled.device,
    profiled.acquisition_source,
    profiled.first_channel,
    profiled.first_country,
    latest_status.status,
    cast(coalesce(bought.purchase_days, 0) as {{ type_integer() }}) as purchase_days,
    cast(coalesce(bought.order_count, 0) as {{ type_integer() }}) as order_count,
    {{ as_money('coalesce(bought.revenue_amount, 0)') }} as revenue_amount,
    {{ as_money('coalesce(bought.margin_amount, 0)') }} as margin_amount,
    profiled.signup_date,
    profiled.first_seen_date,
    bought.first_purchase_date,
    bought.last_purchase_date,
    as_of.as_of_date
from profiled
cross join as_of
left join bought
    on profiled.customer_id = bought.customer_id
left join latest_status
    on profiled.customer_id = latest_status.customer_id
