-- By what is delivered of consents: who is in the audience is a customer, is not suppressed, has a
-- refusal of none of their user ids that this id has not taken back later, and a grant with a time on every
-- channel of clv_consent_channels. Who said nothing is synced only where nobody has said anything and var
-- clv_consent leaves consent to the destination.
{#- Daily, though no daily run makes the view of the input. #}
{{ config(tags=['daily_run']) }}
{%- set channels = shaped('clv_consent_channels') %}
with statements as (

    select
        coalesce(identities.customer_id, consents.user_id) as customer_id,
        consents.user_id,
        consents.channel,
        coalesce(consents.is_granted, false) as is_granted,
        consents.updated_at
    from {{ ref('stg_consents') }} as consents
    left join {{ ref('int_identities__resolved') }} as identities
        on consents.user_id = identities.identifier
    where consents.channel in ('{{ channels | join("', '") | lower }}')

),

grants as (

    select
        customer_id,
        user_id,
        channel,
        max(updated_at) as granted_at
    from statements
    where is_granted and updated_at is not null
    group by 1, 2, 3

),

refusers as (

    select distinct statements.customer_id
    from statements
    left join grants
        on
            statements.user_id = grants.user_id
            and statements.channel = grants.channel
    where
        not statements.is_granted
        and coalesce(grants.granted_at <= statements.updated_at, true)

),

consenting as (

    select
        customer_id,
        count(distinct channel) as channels
    from grants
    group by 1

),

gone as (

    select distinct coalesce(identities.customer_id, statuses.user_id) as customer_id
    from {{ ref('stg_customer_status') }} as statuses
    left join {{ ref('int_identities__resolved') }} as identities
        on statuses.user_id = identities.identifier
    where
        statuses.status in ('erased', 'deceased')
        and statuses.status in (
            {%- for status in shaped('clv_suppressed_statuses') %}
            '{{ status }}',
            {%- endfor %}
            ''
        )

),

input as (

    select count(*) as consents
    from {{ ref('stg_consents') }}

)

select audience.customer_id
from {{ ref('export_marketing_cloud__audience') }} as audience
cross join input
left join {{ ref('customer_lifetime_value') }} as customers
    on audience.customer_id = customers.customer_id
left join consenting
    on audience.customer_id = consenting.customer_id
left join refusers
    on audience.customer_id = refusers.customer_id
left join gone
    on audience.customer_id = gone.customer_id
where
    coalesce(customers.is_suppressed, true)
    or refusers.customer_id is not null
    or gone.customer_id is not null
    or (
        coalesce(consenting.channels, 0) < {{ channels | length }}
        {%- if var('clv_consent') == 'managed_at_destination' %}
        and input.consents > 0
        {%- endif %}
    )
