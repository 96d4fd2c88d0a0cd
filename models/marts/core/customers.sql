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
        customer_id,
        status
    from {{ ref('int_customers__status') }}

)

select
    profiled.customer_id,
    profiled.account_id,
    profiled.country,
    profiled.device,
    profiled.acquisition_source,
    profiled.tier,
    profiled.first_channel,
    profiled.first_country,
    statuses.status,
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
left join statuses
    on profiled.customer_id = statuses.customer_id
