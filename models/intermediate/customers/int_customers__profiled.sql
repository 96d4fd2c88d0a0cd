-- grain: one row per customer, with their attributes other than purchases
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

identities as (

    select
        identifier,
        customer_id
    from {{ ref('int_identities__resolved') }}

),

listed as (

    select
        coalesce(identities.customer_id, customers.user_id) as customer_id,
        customers.user_id,
        customers.account_id,
        customers.country,
        customers.device,
        customers.acquisition_source,
        customers.tier,
        {{ local_date('customers.signed_up_at') }} as signup_date
    from {{ ref('stg_customers') }} as customers
    cross join as_of
    left join identities
        on customers.user_id = identities.identifier
    where
        customers.user_id is not null
        and (
            customers.signed_up_at is null
            or {{ local_date('customers.signed_up_at') }} <= as_of.as_of_date
        )

),

-- Of several user ids take the attributes of the first to sign up, then of the smallest.
ranked as (

    select
        *,
        row_number() over (
            partition by customer_id
            order by
                case when signup_date is null then 1 else 0 end,
                signup_date,
                user_id,
                coalesce(account_id, ''),
                coalesce(country, ''),
                coalesce(acquisition_source, ''),
                coalesce(device, ''),
                coalesce(tier, '')
        ) as position
    from listed

),

-- First transactions before the lines that a daily run reads again are stored.
touches as (

    select *
    from {{ ref('int_first_touches__closed') }}

    union all

    select
        transactions.customer_id,
        transactions.transaction_date,
        min(transactions.channel) as channel,
        min(transactions.country) as country,
        max(case when transactions.is_refund then 0 else 1 end) = 1 as has_sale
    from {{ ref('int_transactions__resolved') }} as transactions
    inner join {{ ref('int_closed_until') }} as closed
        on transactions.transaction_date >= closed.lines_closed_until
    where
        transactions.is_counted
        and {{ at_closed('transactions.transaction_date', '>=', 'lines_from') }}
    {%- if is_daily() %}
        and {{ since('transactions.transaction_date', daily_window().touches_from) }}
    {%- endif %}
    group by 1, 2

),

first_touch as (

    select
        customer_id,
        transaction_date as first_transaction_date,
        channel as first_channel,
        country as first_country,
        max(case when has_sale then 1 else 0 end) over (partition by customer_id) = 0
            as has_refunds_only
    from touches
    qualify row_number() over (partition by customer_id order by transaction_date) = 1

)

select
    coalesce(first_touch.customer_id, ranked.customer_id) as customer_id,
    ranked.account_id,
    ranked.country,
    ranked.device,
    ranked.acquisition_source,
    ranked.tier,
    first_touch.first_channel,
    first_touch.first_country,
    coalesce(first_touch.has_refunds_only, false) as has_refunds_only,
    ranked.signup_date,
    first_touch.first_transaction_date,
    -- The earlier of sign-up and first transaction.
    case
        when ranked.signup_date is null then first_touch.first_transaction_date
        when first_touch.first_transaction_date is null then ranked.signup_date
        else least(ranked.signup_date, first_touch.first_transaction_date)
    end as first_seen_date
from first_touch
full outer join ranked
    on first_touch.customer_id = ranked.customer_id
where coalesce(ranked.position, 1) = 1
