-- grain: one row per customer who may be shipped
select
    customer_key,
    clv_segment,
    rfm_segment,
    segment_since,
    clv_365d,
    probability_purchase_90d_pct,
    offer_cap,
    campaigns,
    as_of_date,
    has_consent,
    row_hash
from {{ ref('export_marketing_cloud__candidates') }}
where exclusion_reason is null
