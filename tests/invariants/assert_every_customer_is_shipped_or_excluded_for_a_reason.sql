-- Customers are the audience and the exclusions, and nobody without consent is in the audience.
with everybody as (

    select count(*) as customers
    from {{ ref('customers') }}

),

audience as (

    select
        count(*) as customers,
        sum(case when has_consent then 0 else 1 end) as without_consent
    from {{ ref('export_marketing_cloud__audience') }}

),

exclusions as (

    select
        sum(customers) as customers,
        sum(case when exclusion_reason = 'none' then customers end) as not_excluded
    from {{ ref('export_marketing_cloud__exclusions') }}

)

select
    everybody.customers,
    audience.customers as shippable,
    exclusions.customers as counted,
    audience.without_consent
from everybody
cross join audience
cross join exclusions
where
    everybody.customers != exclusions.customers
    or audience.customers != exclusions.not_excluded
    or audience.without_consent > 0
