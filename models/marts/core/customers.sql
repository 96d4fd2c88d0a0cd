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

    select
        customer_id,
        sum(case when is_purchase then 1 else 0 end) as purchase_days,
        sum(case when is_purchase then order_count else 0 end) as order_count,
        sum(revenue_amount) as revenue_amount,
        sum(margin_amount) as margin_amount,
        min(case when is_purchase then purchase_date end) as first_purchase_date,
        max(case when is_purchase then purchase_date end) as last_purchase_date
    from {{ ref('int_purchase_days') }}
    where known_until is null
    group by 1

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
