-- grain: one row per customer, with what would be synced of them, or why nothing may be
-- Whether they consent is asked when somebody reads the audience.
{%- set is_stopping = var('clv_stop_campaigns') %}
{%- set bands = shaped('clv_export_bands') %}
{%- set caps = shaped('clv_offer_caps') %}
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
        clv_365d_p50 as cautious_clv,
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

-- The id under which a customer with several was first known, by which control groups are drawn: an id
-- that is linked later moves nobody out of one.
first_known as (

    select
        identities.customer_id,
        remembered.customer_id as drawn_by
    from {{ ref('int_identities__resolved') }} as identities
    inner join {{ ref('int_segments__remembered') }} as remembered
        on identities.identifier = remembered.customer_id
    {{ seen('remembered', 'refreshed_on') | indent(4) }}
    qualify row_number() over (
        partition by identities.customer_id
        order by remembered.refreshed_on, remembered.customer_id
    ) = 1

),

-- The tenant's own key: that of the id that names the customer, else of the smallest.
subscribers as (

    select
        coalesce(identities.customer_id, listed.user_id) as customer_id,
        listed.subscriber_key
    from {{ ref('stg_customers') }} as listed
    left join {{ ref('int_identities__resolved') }} as identities
        on listed.user_id = identities.identifier
    where listed.user_id is not null and listed.subscriber_key is not null
    qualify row_number() over (
        partition by coalesce(identities.customer_id, listed.user_id)
        order by
            case when listed.user_id = identities.customer_id then 0 else 1 end,
            listed.user_id,
            listed.subscriber_key
    ) = 1

),

shared_keys as (

    select lower(subscriber_key) as folded_key
    from subscribers
    group by 1
    having count(*) > 1

),

-- A key that two customers share, in whatever case, is no key of either.
own_keys as (

    select
        subscribers.customer_id,
        subscribers.subscriber_key
    from subscribers
    left join shared_keys
        on lower(subscribers.subscriber_key) = shared_keys.folded_key
    where shared_keys.folded_key is null

),

-- By campaign: whether it holds everybody out, since its redemptions froze an arm or, stopped, all
-- its arms lose money or are over budget; and the least that an arm significantly earns per customer.
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
                when not uplift.is_completed then null
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
            ~ "|', coalesce(first_known.drawn_by, customers.customer_id))",
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
    left join first_known
        on customers.customer_id = first_known.customer_id
    cross join judged

),

capped as (

    select
        *,
        {% if var('clv_offer_cap_by_uplift') -%}
        -- Of all campaigns that they may get: it is not known which one brings the offer.
        {{ least_known(proven) | indent(8) }} as cap_by_uplift
        {%- else -%}
        cast(null as {{ type_double() }}) as cap_by_uplift
        {%- endif %}
    from eligible

),

described as (

    select
        customers.customer_id,
        own_keys.subscriber_key,
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
        {%- set step = 5 %}
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
        -- By their status, or by a segment that is left alone.
        customers.is_suppressed or not customers.is_contactable as is_suppressed
    from capped as customers
    left join own_keys
        on customers.customer_id = own_keys.customer_id

)

select
    customer_id,
    subscriber_key,
    case
        when is_suppressed then 'suppressed'
        {%- if var('clv_export_key') == 'subscriber_key' %}
        when subscriber_key is null then 'no_subscriber_key'
        {%- endif %}
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
    offer_cap_source,
    offer_cap_by_uplift,
    -- Without the date: a customer is synced again when something about them changes.
    {{ dbt.hash(payload) }} as row_hash,
    {{ current_log() | indent(4) }} as log_id
from described
