-- grain: one row per customer, with what would be shipped of her, or why nothing may be
{%- set is_stopping = var('clv_stop_campaigns') %}
{%- set channels = shaped('clv_consent_channels') %}
{%- set bands = shaped('clv_export_bands') %}
{%- set caps = shaped('clv_offer_caps') %}
{%- set silence = {
    'by_input': 'consent_input.statements = 0',
    'excluded': 'false',
    'shipped': 'true',
} %}
{%- set proven = [] %}
{%- for _ in campaign_shares() %}
{%- set place = loop.index %}
{%- do proven.append('case when gets_' ~ place ~ ' then brings_' ~ place ~ ' end') %}
{%- endfor %}
{%- set payload -%}
    concat(
        clv_segment, '|', rfm_segment, '|', segment_since, '|', clv_365d, '|',
        cast(probability_purchase_90d_pct as {{ type_text() }}), '|',
        cast(offer_cap as {{ type_text() }}), '|', campaigns
    )
{%- endset %}
with customers as (

    select
        customer_id,
        as_of_date,
        is_suppressed,
        clv_365d,
        clv_365d_{{ var('clv_offer_cap_quantile') }} as cautious_clv,
        probability_purchase_90d
    from {{ ref('customer_lifetime_value') }}

),

segments as (

    select
        customer_id,
        clv_segment,
        rfm_segment,
        segment_since,
        is_contactable
    from {{ ref('customer_segments') }}

),

as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

consents as (

    select
        coalesce(identities.customer_id, stated.user_id) as customer_id,
        lower(stated.channel) as channel,
        coalesce(stated.is_granted, false) as is_granted,
        stated.updated_at
    from {{ ref('stg_consents') }} as stated
    cross join as_of
    left join {{ ref('int_identities__resolved') }} as identities
        on stated.user_id = identities.identifier
    where
        lower(stated.channel) in ('{{ channels | join("', '") | lower }}')
        and (
            stated.updated_at is null
            or {{ local_date('stated.updated_at') }} <= as_of.as_of_date
        )

),

-- Of several statements of one moment, the refusal counts.
latest_consents as (

    select
        customer_id,
        is_granted
    from consents
    qualify row_number() over (
        partition by customer_id, channel
        order by
            case when updated_at is null then 1 else 0 end asc,
            updated_at desc,
            case when is_granted then 1 else 0 end asc
    ) = 1

),

consenting as (

    select
        customer_id,
        sum(case when is_granted then 1 else 0 end) = {{ channels | length }}
            as has_consent
    from latest_consents
    group by 1

),

consent_input as (

    select count(*) as statements
    from {{ ref('stg_consents') }}

),

-- By campaign: whether it holds everybody out, since its redemptions froze an arm or, stopped, all
-- its arms lose money or are over budget; and the least that an arm surely brings per customer.
judged as (

    select
        {%- for campaign, _ in campaign_shares() | dictsort %}
        coalesce(
            max(
                case
                    when arms.campaign_id != '{{ campaign }}' then 0
                    when arms.is_frozen then 1
                end
            ), 0
        ) as freezes_{{ loop.index }},
        {%- if is_stopping %}
        coalesce(
            min(
                case
                    when arms.campaign_id != '{{ campaign }}' then null
                    when uplift.verdict = 'loses' or arms.is_over_budget then 1
                    else 0
                end
            ), 0
        ) as stops_{{ loop.index }},
        {%- endif %}
        min(
            case
                when arms.campaign_id != '{{ campaign }}' then null
                when not uplift.is_matured then null
                when uplift.uplift_lower_95 < 0 then 0.0
                else uplift.uplift_lower_95
            end
        ) as brings_{{ loop.index }},
        {%- endfor %}
        count(*) as arms
    from {{ ref('campaign_guardrails') }} as arms
    left join {{ ref('campaign_uplift') }} as uplift
        on
            arms.campaign_id = uplift.campaign_id
            and arms.arm = uplift.arm

),

eligible as (

    select
        customers.*,
        segments.clv_segment,
        segments.rfm_segment,
        segments.segment_since,
        segments.is_contactable,
        {%- for campaign, share in campaign_shares() | dictsort %}
        {{ hash_bucket(
            "concat('" ~ var('clv_holdout_salt') ~ "', '|" ~ campaign
            ~ "|', customers.customer_id)",
            10000
        ) }}
        >= {{ (share * 10000) | round | int }} + 10000 * judged.freezes_{{ loop.index }}
        {{- ' + 10000 * judged.stops_' ~ loop.index if is_stopping }}
            as gets_{{ loop.index }},
        judged.brings_{{ loop.index }},
        {%- endfor %}
        {{ var('clv_offer_cap_share') }} * coalesce(customers.cautious_clv, 0)
            as cap_by_clv,
        case segments.clv_segment
            {%- for segment, cap in caps.items() %}
            when '{{ segment }}' then {{ cap }}
            {%- endfor %}
            else {{ caps['default'] }}
        end as cap_by_segment
    from customers
    inner join segments
        on customers.customer_id = segments.customer_id
    cross join judged

),

capped as (

    select
        *,
        {% if var('clv_offer_cap_by_uplift') -%}
        -- Of all campaigns that she may get: it is not known which one brings the offer.
        {{ least_known(proven) | indent(8) }} as cap_by_uplift
        {%- else -%}
        cast(null as {{ type_double() }}) as cap_by_uplift
        {%- endif %}
    from eligible

),

described as (

    select
        customers.customer_id,
        {{ sha256_hex(
            "concat('" ~ export_salt() ~ "', '|', customers.customer_id)"
        ) }} as customer_key,
        customers.clv_segment,
        coalesce(customers.rfm_segment, 'No purchase yet') as rfm_segment,
        coalesce(cast(customers.segment_since as {{ type_text() }}), '')
            as segment_since,
        {% if var('clv_export_value') == 'none' -%}
        '' as clv_365d,
        {%- elif var('clv_export_value') == 'value' -%}
        coalesce(
            cast(
                cast(round(customers.clv_365d) as {{ type_integer() }})
                as {{ type_text() }}
            ),
            ''
        ) as clv_365d,
        {%- else -%}
        case
            when customers.clv_365d is null then ''
            {%- for edge in bands %}
            when customers.clv_365d < {{ edge }}
                then '{{ bands[loop.index0 - 1] if loop.index0 else 0 }}-{{ edge }}'
            {%- endfor %}
            else '{{ bands[-1] }}+'
        end as clv_365d,
        {%- endif %}
        {%- set step = var('clv_export_probability_step') %}
        cast(
            {{ step }} * round(
                coalesce(customers.probability_purchase_90d, 0) * 100 / {{ step }}
            )
            as {{ type_integer() }}
        ) as probability_purchase_90d_pct,
        cast(
            floor(
                least(
                    customers.cap_by_clv, customers.cap_by_segment,
                    coalesce(customers.cap_by_uplift, customers.cap_by_segment)
                )
            )
            as {{ type_integer() }}
        ) as offer_cap,
        case
            when
                customers.cap_by_uplift
                < least(customers.cap_by_clv, customers.cap_by_segment)
                then 'uplift'
            when customers.cap_by_segment < customers.cap_by_clv then 'segment'
            else 'clv'
        end as offer_cap_source,
        customers.cap_by_uplift as offer_cap_by_uplift,
        concat(
            '|'
            {%- for campaign, _ in campaign_shares() | dictsort %},
            case when customers.gets_{{ loop.index }} then '{{ campaign }}|' else '' end
            {%- endfor %}
        ) as campaigns,
        cast(customers.as_of_date as {{ type_text() }}) as as_of_date,
        -- Not by her status, nor by a segment that is left alone.
        customers.is_suppressed or not customers.is_contactable as is_suppressed,
        coalesce(
            consenting.has_consent,
            {{ silence[var('clv_without_consent')] }}
        ) as has_consent
    from capped as customers
    cross join consent_input
    left join consenting
        on customers.customer_id = consenting.customer_id

)

select
    customer_id,
    customer_key,
    case
        when is_suppressed then 'suppressed'
        when not has_consent then 'no_consent'
        when campaigns = '|' then 'held_out'
    end as exclusion_reason,
    clv_segment,
    rfm_segment,
    segment_since,
    clv_365d,
    probability_purchase_90d_pct,
    offer_cap,
    campaigns,
    as_of_date,
    has_consent,
    offer_cap_source,
    offer_cap_by_uplift,
    -- Without the date: a customer is shipped again when something about her changes.
    {{ dbt.hash(payload) }} as row_hash
from described
