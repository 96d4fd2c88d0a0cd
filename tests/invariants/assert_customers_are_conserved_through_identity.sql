-- Every delivered user id, with a transaction or a row of the customer list by the as-of date, belongs
-- to one row of customers, and every customer has one.
with users as (

    select transactions.user_id
    from {{ ref('stg_transactions') }} as transactions
    cross join {{ ref('int_as_of') }} as as_of
    where
        transactions.user_id is not null
        and {{ local_date('transactions.transacted_at') }} <= as_of.as_of_date

    union distinct

    select listed.user_id
    from {{ ref('stg_customers') }} as listed
    cross join {{ ref('int_as_of') }} as as_of
    where
        listed.user_id is not null
        and (
            listed.signed_up_at is null
            or {{ local_date('listed.signed_up_at') }} <= as_of.as_of_date
        )

),

arrived as (

    select distinct coalesce(identities.customer_id, users.user_id) as customer_id
    from users
    left join {{ ref('int_identities__resolved') }} as identities
        on users.user_id = identities.identifier

),

customers as (

    select
        customer_id,
        count(*) as copies
    from {{ ref('customers') }}
    group by 1

)

select
    coalesce(arrived.customer_id, customers.customer_id) as customer_id,
    arrived.customer_id is not null as has_arrived,
    coalesce(customers.copies, 0) as copies
from arrived
full outer join customers
    on arrived.customer_id = customers.customer_id
where
    arrived.customer_id is null
    or coalesce(customers.copies, 0) != 1
