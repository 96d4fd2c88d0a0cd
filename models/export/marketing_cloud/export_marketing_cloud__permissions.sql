-- grain: one row per customer who has stated anything on consent, or has a suppressing status
-- Read when somebody asks, off what is delivered by then: a withdrawal waits for no as-of date and for no
-- load of transactions.
{%- set needed = shaped('clv_consent_channels') %}
{#- Links that the build did not know; those that it knew are one customer already. #}
{%- set hops = 4 %}
{%- set midnight = local_start(local_date('consents.updated_at')) %}
with identities as (

    select
        identifier,
        customer_id
    from {{ ref('int_identities__resolved') }}

),

-- When the warehouse was built last, by its own clock: nothing dated later can have been said by then.
knowledge as (

    select max(recorded_at) as known_at
    from {{ source('clv_state', 'run_results') }}

),

-- By user id and channel: a refusal without a time is the last word, a grant without one is none, so that
-- alone it refuses; nor does a grant dated in the future undo a refusal.
answers as (

    select
        consents.user_id,
        consents.channel,
        max(case when consents.is_granted then consents.updated_at end) as granted_at,
        max(
            case
                when not coalesce(consents.is_granted, false) then null
                when consents.updated_at > knowledge.known_at then null
                else consents.updated_at
            end
        ) as known_grant_at,
        -- One at midnight, of UTC or of the zone of the calendar, is of a day without a time, and outlasts a
        -- grant of that day.
        max(
            case
                when coalesce(consents.is_granted, false) then null
                when
                    extract(hour from consents.updated_at) = 0
                    and extract(minute from consents.updated_at) = 0
                    and extract(second from consents.updated_at) = 0
                    or consents.updated_at = {{ midnight | indent(20) }}
                    then consents.updated_at + interval 86399 second
                else consents.updated_at
            end
        ) as refused_at,
        max(
            case
                when coalesce(consents.is_granted, false) then 0
                when consents.updated_at is null then 1
                else 0
            end
        ) as refusals_without_time
    from {{ ref('stg_consents') }} as consents
    cross join knowledge
    where
        consents.user_id is not null
        and consents.channel in ('{{ needed | join("', '") | lower }}')
    group by 1, 2

),

judged as (

    select
        coalesce(identities.customer_id, answers.user_id) as customer_id,
        answers.user_id,
        answers.channel,
        answers.refusals_without_time = 0
        and answers.granted_at is not null
        and (
            answers.refused_at is null
            or coalesce(answers.known_grant_at > answers.refused_at, false)
        ) as is_granted
    from answers
    left join identities
        on answers.user_id = identities.identifier

),

-- A person has granted a channel when every id that says anything about it has.
by_channel as (

    select
        customer_id,
        channel,
        min(case when is_granted then 1 else 0 end) as grants
    from judged
    group by 1, 2

),

-- Who is to be left alone by their own word or status. A status dated after what the last build knows counts
-- here already.
refusing as (

    select user_id
    from judged
    where not is_granted

    union distinct

    select customer_id as user_id
    from {{ ref('int_customers__status') }}
    where is_suppressed

    union distinct

    select stated.user_id
    from {{ ref('stg_customer_status') }} as stated
    cross join {{ ref('int_as_of') }} as as_of
    where
        stated.user_id is not null
        and stated.status in (
            {%- for status in shaped('clv_suppressed_statuses') %}
            '{{ status }}',
            {%- endfor %}
            ''
        )
        and {{ local_date('stated.effective_at') }} > as_of.as_of_date

),

links as (

    select
        user_id,
        other_id
    from {{ ref('stg_identities') }}
    where user_id is not null and other_id is not null

),

-- An id and all that are linked to it, by links of any date, also those that the last build did not know. An
-- id that many share, such as a till, links nobody.
linking as (

    select other_id
    from links
    group by 1
    having count(distinct user_id) <= {{ var('clv_identity_max_users') }}

),

-- The customers that the build knew, else the ids.
linked as (

    select
        coalesce(ones.customer_id, links.user_id) as one_id,
        coalesce(others.customer_id, links.other_id) as other_id
    from links
    inner join linking
        on links.other_id = linking.other_id
    left join identities as ones
        on links.user_id = ones.identifier
    left join identities as others
        on links.other_id = others.identifier

),

-- Both ways, and each with itself.
edges as (

    select
        case when series.number in (0, 1) then linked.one_id else linked.other_id end
            as customer_id,
        case when series.number in (0, 2) then linked.one_id else linked.other_id end
            as linked_id
    from linked
    cross join {{ number_series(3) }} as series

),

reached_0 as (

    select distinct coalesce(identities.customer_id, refusing.user_id) as customer_id
    from refusing
    left join identities
        on refusing.user_id = identities.identifier

),
{% for hop in range(1, hops + 1) %}
reached_{{ hop }} as (

    select distinct coalesce(edges.linked_id, reached.customer_id) as customer_id
    from reached_{{ hop - 1 }} as reached
    left join edges
        on reached.customer_id = edges.customer_id

),
{% endfor %}
statements as (

    select
        customer_id,
        grants as channels_granted,
        0 as refusals
    from by_channel

    union all

    select
        customer_id,
        0 as channels_granted,
        1 as refusals
    from reached_{{ hops }}

)

select
    customer_id,
    max(refusals) = 1 as is_refused,
    max(refusals) = 0 and sum(channels_granted) = {{ needed | length }} as has_consent
from statements
group by 1
