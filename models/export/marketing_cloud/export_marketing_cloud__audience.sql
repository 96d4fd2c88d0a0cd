-- grain: one row per customer who may be synced: by the last build, and by what is said on consent now
{%- set without_statements = var('clv_consent') == 'managed_at_destination' %}
with consent_input as (

    select count(*) as consent_rows
    from {{ ref('stg_consents') }}

),

permissions as (

    select *
    from {{ ref('export_marketing_cloud__permissions') }}

)

select
    candidates.customer_id,
    candidates.subscriber_key,
    candidates.clv_segment,
    candidates.rfm_segment,
    candidates.segment_since,
    candidates.clv_365d,
    candidates.probability_purchase_90d_pct,
    candidates.offer_cap,
    candidates.campaigns,
    candidates.as_of_date,
    candidates.row_hash,
    true as has_consent
from {{ ref('export_marketing_cloud__candidates') }} as candidates
cross join consent_input
-- Who is whose may have been learnt since the candidates were built.
left join {{ ref('int_identities__resolved') }} as identities
    on candidates.customer_id = identities.identifier
left join permissions
    on
        coalesce(identities.customer_id, candidates.customer_id)
        = permissions.customer_id
left join permissions as own
    on candidates.customer_id = own.customer_id
where
    candidates.exclusion_reason is null
    and not coalesce(permissions.is_refused, false)
    and not coalesce(own.is_refused, false)
    and (
        coalesce(permissions.has_consent, false)
        {%- if without_statements %}
        or consent_input.consent_rows = 0
        {%- endif %}
    )
