-- Customers are the audience and the exclusions.
with everybody as (

    select count(*) as customers
    from {{ ref('customers') }}

),

audience as (

    select count(*) as customers
    from {{ ref('export_marketing_cloud__audience') }}

),

exclusions as (

    select
        coalesce(sum(customers), 0) as customers,
        coalesce(sum(case when exclusion_reason != 'none' then customers end), 0)
            as excluded
    from {{ ref('export_marketing_cloud__exclusions') }}

)

select
    everybody.customers,
    audience.customers as shippable,
    exclusions.customers as counted,
    exclusions.excluded
from everybody
cross join audience
cross join exclusions
where
    everybody.customers != exclusions.customers
    or everybody.customers != audience.customers + exclusions.excluded
