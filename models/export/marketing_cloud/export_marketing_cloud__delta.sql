-- grain: one row per target and customer whose row there must change
with audience as (

    select *
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

shipped as (

    select *
    from {{ ref('export_marketing_cloud__shipped') }}

),

as_of as (

    select cast(as_of_date as {{ type_text() }}) as as_of_date
    from {{ ref('int_as_of') }}

),

compared as (

    select
        coalesce(wanted.target, shipped.target) as target,
        coalesce(wanted.customer_key, shipped.customer_key) as customer_key,
        case when wanted.customer_key is null then 'remove' else 'upsert' end as op,
        case
            when wanted.customer_key is null then 'removed'
            when coalesce(shipped.shipped_op, 'remove') = 'remove' then 'new'
            else 'changed'
        end as change,
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
        shipped.shipped_op,
        shipped.shipped_hash,
        shipped.is_uncertain,
        shipped.rejected_hash,
        shipped.rejection_count
    from wanted
    full outer join shipped
        on
            wanted.target = shipped.target
            and wanted.customer_key = shipped.customer_key

)

-- A removed customer's row stays, inactive and blank: '' and 0, for null is not reliable there.
select
    compared.target,
    compared.customer_key,
    compared.op,
    compared.change,
    compared.row_hash,
    coalesce(compared.clv_segment, '') as clv_segment,
    coalesce(compared.rfm_segment, '') as rfm_segment,
    coalesce(compared.segment_since, '') as segment_since,
    coalesce(compared.clv_365d, '') as clv_365d,
    coalesce(compared.probability_purchase_90d_pct, 0) as probability_purchase_90d_pct,
    coalesce(compared.offer_cap, 0) as offer_cap,
    coalesce(compared.campaigns, '') as campaigns,
    coalesce(compared.as_of_date, as_of.as_of_date) as as_of_date,
    compared.op = 'upsert' as is_active,
    coalesce(compared.has_consent, false) as has_consent,
    coalesce(
        compared.rejected_hash = compared.row_hash and compared.rejection_count >= 3,
        false
    ) as is_quarantined
from compared
cross join as_of
where
    coalesce(compared.is_uncertain, false)
    or (
        compared.op = 'upsert'
        and (
            coalesce(compared.shipped_op, 'remove') = 'remove'
            or compared.shipped_hash != compared.row_hash
        )
    )
    or (compared.op = 'remove' and compared.shipped_op = 'upsert')
