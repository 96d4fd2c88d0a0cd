-- grain: one row per target, customer and key whose row there must change
{%- set has_own_keys = var('clv_export_key') == 'subscriber_key' %}
with audience as (

    select
        *,
        {{ 'subscriber_key' if has_own_keys else 'customer_id' }} as wanted_by
    from {{ ref('export_marketing_cloud__audience') }}

),

targets as (

    select 'crm' as target

    union all

    select 'sfmc' as target

),

wanted as (

    select
        targets.target,
        audience.*
    from audience
    cross join targets

),

-- A pseudonym stands for its customer, who has one; a tenant's own key for whom the tenant gives it to.
shipped as (

    select
        *,
        {% if has_own_keys -%}
        customer_key as wanted_by
        {%- else -%}
        case when is_newest and key_id != 'subscriber_key' then customer_id end
            as wanted_by
        {%- endif %}
    from {{ ref('export_marketing_cloud__shipped') }}

),

built as (

    select max(as_of_date) as as_of_date
    from {{ ref('export_marketing_cloud__candidates') }}

),

refusers as (

    select customer_id
    from {{ ref('export_marketing_cloud__permissions') }}
    where is_refused

),

compared as (

    select
        coalesce(wanted.target, shipped.target) as target,
        coalesce(wanted.customer_id, shipped.customer_id) as customer_id,
        wanted.customer_id is not null as is_wanted,
        coalesce(shipped.shipped_op = 'upsert', false) as is_there,
        coalesce(shipped.is_uncertain, false) as is_uncertain,
        coalesce(
            shipped.shipped_op = 'upsert' and shipped.shipped_hash = wanted.row_hash
            and shipped.customer_id = wanted.customer_id, false
        ) as is_same,
        wanted.subscriber_key,
        shipped.customer_key,
        shipped.key_id,
        coalesce(wanted.row_hash, 'removed') as row_hash,
        wanted.clv_segment,
        wanted.rfm_segment,
        wanted.segment_since,
        wanted.clv_365d,
        wanted.probability_purchase_90d_pct,
        wanted.offer_cap,
        wanted.campaigns,
        wanted.as_of_date,
        wanted.has_consent,
        shipped.rejected_hash,
        shipped.rejection_count
    from wanted
    full outer join shipped
        on
            wanted.target = shipped.target
            and wanted.wanted_by = shipped.wanted_by

),

due as (

    select
        *,
        -- A pseudonym that was removed is not taken up again: its secret may be gone.
        not is_wanted or is_there or is_uncertain as is_known
    from compared
    where is_uncertain or is_wanted and not is_same or not is_wanted and is_there

)

-- A removed customer's row stays, inactive and blank: '' and 0, for null is not reliable there.
select
    due.target,
    due.customer_id,
    {% if has_own_keys -%}
    case when due.is_wanted then due.subscriber_key else due.customer_key end
        as customer_key,
    {%- else -%}
    case when due.is_known then due.customer_key end as customer_key,
    {%- endif %}
    case when due.is_known then due.key_id end as key_id,
    case when due.is_wanted then 'upsert' else 'remove' end as op,
    case
        when not due.is_wanted then 'removed'
        when due.is_there then 'changed'
        else 'new'
    end as change,
    not due.is_wanted and refusers.customer_id is not null as is_withdrawal,
    due.row_hash,
    coalesce(due.clv_segment, '') as clv_segment,
    coalesce(due.rfm_segment, '') as rfm_segment,
    coalesce(due.segment_since, '') as segment_since,
    coalesce(due.clv_365d, '') as clv_365d,
    coalesce(due.probability_purchase_90d_pct, 0) as probability_purchase_90d_pct,
    coalesce(due.offer_cap, 0) as offer_cap,
    coalesce(due.campaigns, '') as campaigns,
    coalesce(due.as_of_date, built.as_of_date) as as_of_date,
    due.is_wanted as is_active,
    coalesce(due.has_consent, false) as has_consent,
    coalesce(due.rejected_hash = due.row_hash and due.rejection_count >= 3, false)
        as is_quarantined
from due
cross join built
left join {{ ref('int_identities__resolved') }} as identities
    on due.customer_id = identities.identifier
left join refusers
    on coalesce(identities.customer_id, due.customer_id) = refusers.customer_id
