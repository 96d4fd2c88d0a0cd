-- By what is delivered of consents: who is in the audience is a customer, is not suppressed, and said
-- yes last on every channel of clv_consent_channels; of no and yes at one moment the no counts. Who
-- said nothing may be shipped as var clv_without_consent says.
{%- set channels = shaped('clv_consent_channels') %}
{%- set never = "cast('0001-01-01 00:00:00' as " ~ type_instant() ~ ')' %}
{%- set silence = var('clv_without_consent') %}
with answers as (

    select
        coalesce(identities.customer_id, consents.user_id) as customer_id,
        lower(consents.channel) as channel,
        max(
            case
                when consents.is_granted
                    then coalesce(consents.updated_at, {{ never }})
            end
        ) as yes_at,
        max(
            case
                when not coalesce(consents.is_granted, false)
                    then coalesce(consents.updated_at, {{ never }})
            end
        ) as no_at
    from {{ ref('stg_consents') }} as consents
    cross join {{ ref('int_as_of') }} as as_of
    left join {{ ref('int_identities__resolved') }} as identities
        on consents.user_id = identities.identifier
    where
        lower(consents.channel) in ('{{ channels | join("', '") | lower }}')
        and (
            consents.updated_at is null
            or {{ local_date('consents.updated_at') }} <= as_of.as_of_date
        )
    group by 1, 2

),

answered as (

    select
        customer_id,
        sum(
            case
                when yes_at is not null and (no_at is null or no_at < yes_at) then 1
                else 0
            end
        ) as channels
    from answers
    group by 1

),

input as (

    select count(*) as consents
    from {{ ref('stg_consents') }}

),

customers as (

    select
        customer_id,
        is_suppressed,
        {{ sha256_hex("concat('" ~ export_salt() ~ "', '|', customer_id)") }}
            as customer_key
    from {{ ref('customer_lifetime_value') }}

)

select
    audience.customer_key,
    customers.is_suppressed,
    answered.channels
from {{ ref('export_marketing_cloud__audience') }} as audience
cross join input
left join customers
    on audience.customer_key = customers.customer_key
left join answered
    on customers.customer_id = answered.customer_id
where
    customers.customer_id is null
    or customers.is_suppressed
    or answered.channels < {{ channels | length }}
    {%- if silence == 'excluded' %}
    or answered.customer_id is null
    {%- elif silence == 'by_input' %}
    or (answered.customer_id is null and input.consents > 0)
    {%- endif %}
