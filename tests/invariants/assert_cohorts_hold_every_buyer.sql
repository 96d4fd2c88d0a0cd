-- Cohorts add up to the customers who have bought, and their orders to the orders of customers.
with cohorts as (

    select
        sum(case when months_since = 0 then customers else 0 end) as customers,
        sum(order_count) as order_count
    from {{ ref('cohorts') }}

),

customers as (

    select
        sum(case when purchase_days > 0 then 1 else 0 end) as customers,
        sum(order_count) as order_count
    from {{ ref('customers') }}

)

select
    cohorts.customers as cohort_customers,
    customers.customers,
    cohorts.order_count as cohort_orders,
    customers.order_count
from cohorts
cross join customers
where
    coalesce(cohorts.customers, 0) != coalesce(customers.customers, 0)
    or coalesce(cohorts.order_count, 0) != coalesce(customers.order_count, 0)
