-- grain: one row per pair of linked ids, in both directions, and per user id with itself
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

links as (

    select distinct
        identities.user_id,
        identities.other_id
    from {{ ref('stg_identities') }} as identities
    cross join as_of
    where
        identities.user_id is not null
        and identities.other_id is not null
        and identities.user_id != identities.other_id
        and (
            identities.linked_at is null
            or {{ local_date('identities.linked_at') }} <= as_of.as_of_date
        )

),

-- An identifier that many users share says nothing about who they are.
over_connected as (

    select other_id
    from links
    group by 1
    having count(*) > {{ var('clv_identity_max_users') }}

),

kept as (

    select
        links.user_id,
        links.other_id
    from links
    left join over_connected
        on links.other_id = over_connected.other_id
    where over_connected.other_id is null

    {%- if var('clv_customer_grain') == 'account' %}

    union distinct

    select
        user_id,
        concat('account:', account_id) as other_id
    from {{ ref('stg_customers') }}
    where user_id is not null and account_id is not null
    {%- endif %}

),

both_ways as (

    select
        user_id as identifier,
        other_id as linked_identifier,
        1 as user_id_end
    from kept

    union all

    select
        other_id as identifier,
        user_id as linked_identifier,
        0 as user_id_end
    from kept

    union all

    select
        user_id as identifier,
        user_id as linked_identifier,
        1 as user_id_end
    from kept

)

select
    identifier,
    linked_identifier,
    max(user_id_end) = 1 as is_user_id
from both_ways
group by 1, 2
