-- Customers are those of customer_lifetime_value, each once.
with scored as (

    select
        customer_id,
        count(*) as copies
    from {{ ref('customer_lifetime_value') }}
    group by 1

)

select
    coalesce(customers.customer_id, scored.customer_id) as customer_id,
    customers.customer_id is not null as is_customer,
    coalesce(scored.copies, 0) as copies
from {{ ref('customers') }} as customers
full outer join scored
    on customers.customer_id = scored.customer_id
where
    customers.customer_id is null
    or coalesce(scored.copies, 0) != 1
