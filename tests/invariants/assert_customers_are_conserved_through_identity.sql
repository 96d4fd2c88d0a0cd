-- Every user id with a transaction or a place in the customer list leads to one row of customers,
-- and every customer has one row of predictions.
with arrived as (

    select distinct customer_id
    from {{ ref('int_transactions__resolved') }}
    where is_counted

    union distinct

    select customer_id
    from {{ ref('int_customers__profiled') }}

)

select
    coalesce(arrived.customer_id, customers.customer_id, scored.customer_id)
        as customer_id,
    arrived.customer_id is not null as has_arrived,
    customers.customer_id is not null as is_customer,
    scored.customer_id is not null as is_scored
from arrived
full outer join {{ ref('customers') }} as customers
    on arrived.customer_id = customers.customer_id
full outer join {{ ref('customer_lifetime_value') }} as scored
    on arrived.customer_id = scored.customer_id
where
    arrived.customer_id is null
    or customers.customer_id is null
    or scored.customer_id is null
