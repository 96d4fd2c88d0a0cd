-- grain: one row per target, customer and key of the audience, or whose row there must go
{%- set has_own_keys = var('clv_export_key') == 'subscriber_key' %}
with audience as (

    select
        *,
        {{ 'subscriber_key' if has_own_keys else 'customer_id' }} as wanted_by
    from {{ ref('export_marketing_cloud__audience') }}

),

targets as (

    {% for target in export_targets() -%}
    select '{{ target }}' as target
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

wanted as (

    select
        targets.target,
        audience.*
    from audience
    cross join targets

),

-- A pseudonym stands for its customer, who has one; a tenant's own key for whom the tenant gives it to.
synced as (

    select
        *,
        {% if has_own_keys -%}
        customer_key as wanted_by
        {%- else -%}
        case when is_newest and key_id != 'subscriber_key' then customer_id end
            as wanted_by
        {%- endif %}
    from {{ ref('export_marketing_cloud__synced') }}

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
        coalesce(wanted.target, synced.target) as target,
        coalesce(wanted.customer_id, synced.customer_id) as customer_id,
        wanted.customer_id is not null as is_wanted,
        coalesce(synced.synced_op = 'upsert', false) as is_there,
        coalesce(synced.is_uncertain, false) as is_uncertain,
        coalesce(
            synced.synced_op = 'upsert' and synced.synced_hash = wanted.row_hash
            and synced.customer_id = wanted.customer_id, false
        ) as is_same,
        wanted.subscriber_key,
        synced.customer_key,
        synced.key_id,
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
        wanted.wanted_by,
        synced.rejected_hash,
        synced.rejection_count
    from wanted
    full outer join synced
        on
            wanted.target = synced.target
            and wanted.wanted_by = synced.wanted_by

),

-- What a run must not send twice in one request, by keys that regard no case.
doubles as (

    select lower(wanted_by) as folded
    from audience
    group by 1
    having count(*) > 1

),

-- What is as it should be is sent with the whole audience, or when its key is of another secret.
judged as (

    select
        *,
        -- A pseudonym that was removed is not taken up again: its secret may be gone.
        not is_wanted or is_there or is_uncertain as is_known,
        is_uncertain or not is_same as is_due
    from compared
    where is_uncertain or is_wanted or is_there

)

-- A removed customer's row stays, inactive and blank: '' and 0, for null is not reliable there.
select
    judged.target,
    judged.customer_id,
    {% if has_own_keys -%}
    case when judged.is_wanted then judged.subscriber_key else judged.customer_key end
        as customer_key,
    {%- else -%}
    case when judged.is_known then judged.customer_key end as customer_key,
    {%- endif %}
    case when judged.is_known then judged.key_id end as key_id,
    case when judged.is_wanted then 'upsert' else 'remove' end as op,
    case
        when not judged.is_wanted then 'removed'
        when not judged.is_due then 'unchanged'
        when judged.is_there then 'changed'
        else 'new'
    end as change,
    not judged.is_wanted and refusers.customer_id is not null as is_withdrawal,
    judged.row_hash,
    coalesce(judged.clv_segment, '') as clv_segment,
    coalesce(judged.rfm_segment, '') as rfm_segment,
    coalesce(judged.segment_since, '') as segment_since,
    coalesce(judged.clv_365d, '') as clv_365d,
    coalesce(judged.probability_purchase_90d_pct, 0) as probability_purchase_90d_pct,
    coalesce(judged.offer_cap, 0) as offer_cap,
    coalesce(judged.campaigns, '') as campaigns,
    coalesce(judged.as_of_date, built.as_of_date) as as_of_date,
    judged.is_wanted as is_active,
    coalesce(judged.has_consent, false) as has_consent,
    judged.is_due,
    judged.is_due
    and coalesce(
        judged.rejected_hash = judged.row_hash and judged.rejection_count >= 3, false
    ) as is_quarantined,
    doubles.folded is not null as is_double
from judged
cross join built
left join {{ ref('int_identities__resolved') }} as identities
    on judged.customer_id = identities.identifier
left join refusers
    on coalesce(identities.customer_id, judged.customer_id) = refusers.customer_id
left join doubles on lower(judged.wanted_by) = doubles.folded
