-- grain: one row per customer who has stated anything on consent, or has a suppressing status
-- Read when somebody asks, off what is delivered by then: a withdrawal waits for no as-of date and for no
-- load of transactions.
{%- set needed = shaped('clv_consent_channels') %}
with identities as (

    select
        identifier,
        customer_id
    from {{ ref('int_identities__resolved') }}

),

-- By user id and channel: a refusal without a time is the last word, a grant without one is none, so that
-- alone it refuses.
answers as (

    select
        user_id,
        channel,
        max(case when is_granted then updated_at end) as granted_at,
        max(case when not coalesce(is_granted, false) then updated_at end)
            as refused_at,
        max(
            case
                when not coalesce(is_granted, false) and updated_at is null then 1
                else 0
            end
        ) as refusals_without_time
    from {{ ref('stg_consents') }}
    where
        user_id is not null
        and channel in ('{{ needed | join("', '") | lower }}')
    group by 1, 2

),

judged as (

    select
        coalesce(identities.customer_id, answers.user_id) as customer_id,
        answers.user_id,
        answers.channel,
        answers.refusals_without_time = 0
        and answers.granted_at is not null
        and coalesce(answers.granted_at > answers.refused_at, true) as is_granted
    from answers
    left join identities
        on answers.user_id = identities.identifier

),

-- A person has granted a channel when every id that says anything about it has.
by_channel as (

    select
        customer_id,
        channel,
        min(case when is_granted then 1 else 0 end) as grants,
        max(case when is_granted then 0 else 1 end) as refusals
    from judged
    group by 1, 2

),

-- Links that the last build did not know, or not as of its date. An id that many share, such as a till,
-- links nobody.
links as (

    select
        user_id,
        other_id
    from {{ ref('stg_identities') }}
    where user_id is not null and other_id is not null

),

linking as (

    select other_id
    from links
    group by 1
    having count(distinct user_id) <= {{ var('clv_identity_max_users') }}

),

-- Whom a refusal concerns beside its own id: ids it is linked to, and ids linked to the same.
linked as (

    select
        judged.user_id,
        links.other_id as linked_id
    from judged
    inner join links
        on judged.user_id = links.user_id
    inner join linking
        on links.other_id = linking.other_id
    where not judged.is_granted

    union distinct

    select
        judged.user_id,
        links.user_id as linked_id
    from judged
    inner join links
        on judged.user_id = links.other_id
    inner join linking
        on links.other_id = linking.other_id
    where not judged.is_granted

    union distinct

    select
        judged.user_id,
        others.user_id as linked_id
    from judged
    inner join links
        on judged.user_id = links.user_id
    inner join linking
        on links.other_id = linking.other_id
    inner join links as others
        on links.other_id = others.other_id
    where not judged.is_granted

),

-- A status dated after what the last build knows counts here already.
statements as (

    select
        customer_id,
        grants as channels_granted,
        refusals
    from by_channel

    union all

    select
        coalesce(identities.customer_id, linked.linked_id) as customer_id,
        0 as channels_granted,
        1 as refusals
    from linked
    left join identities
        on linked.linked_id = identities.identifier

    union all

    select
        customer_id,
        0 as channels_granted,
        1 as refusals
    from {{ ref('int_customers__status') }}
    where is_suppressed

    union all

    select
        coalesce(identities.customer_id, stated.user_id) as customer_id,
        0 as channels_granted,
        1 as refusals
    from {{ ref('stg_customer_status') }} as stated
    cross join {{ ref('int_as_of') }} as as_of
    left join identities
        on stated.user_id = identities.identifier
    where
        stated.user_id is not null
        and stated.status in (
            {%- for status in shaped('clv_suppressed_statuses') %}
            '{{ status }}',
            {%- endfor %}
            ''
        )
        and {{ local_date('stated.effective_at') }} > as_of.as_of_date

)

select
    customer_id,
    max(refusals) = 1 as is_refused,
    max(refusals) = 0 and sum(channels_granted) = {{ needed | length }} as has_consent
from statements
group by 1
