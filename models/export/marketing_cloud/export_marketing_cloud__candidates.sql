-- grain: one row per customer, with what would be shipped of her, or why nothing may be
{%- set is_stopping = var('clv_stop_campaigns') %}
{%- set channels = var('clv_consent_channels') %}
{%- set bands = var('clv_export_bands') %}
{%- set caps = var('clv_offer_caps') %}
{%- set silence = {
    'by_input': 'consent_input.statements = 0',
    'excluded': 'false',
    'shipped': 'true',
} %}
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

{%- if is_stopping %}

-- A campaign whose arms all lose money, or are over budget, stops: it holds everybody out.
stopped as (

    select
        {%- for campaign, _ in campaign_shares() | dictsort %}
        coalesce(
            min(
                case
                    when campaign_id != '{{ campaign }}' then null
                    when verdict in ('loses', 'over_budget') then 1
                    else 0
                end
            ), 0
        ) as stops_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('campaign_uplift') }}

),
{%- endif %}

described as (

    select
        customers.customer_id,
        {{ sha256_hex(
            "concat('" ~ export_salt() ~ "', '|', customers.customer_id)"
        ) }} as customer_key,
        segments.clv_segment,
        coalesce(segments.rfm_segment, 'No purchase yet') as rfm_segment,
        coalesce(cast(segments.segment_since as {{ type_text() }}), '')
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
                    {{ var('clv_offer_cap_share') }}
                    * coalesce(customers.cautious_clv, 0),
                    case segments.clv_segment
                        {%- for segment, cap in caps.items() %}
                        when '{{ segment }}' then {{ cap }}
                        {%- endfor %}
                        else {{ caps['default'] }}
                    end
                )
            )
            as {{ type_integer() }}
        ) as offer_cap,
        concat(
            '|'
            {%- for campaign, share in campaign_shares() | dictsort %},
            case
                when
                    {{ hash_bucket(
                        "concat('" ~ var('clv_holdout_salt') ~ "', '|" ~ campaign
                        ~ "|', customers.customer_id)",
                        10000
                    ) }} >= {{ (share * 10000) | round | int }}
                    {{- ' + 10000 * stopped.stops_' ~ loop.index if is_stopping }}
                    then '{{ campaign }}|'
                else ''
            end
            {%- endfor %}
        ) as campaigns,
        cast(customers.as_of_date as {{ type_text() }}) as as_of_date,
        -- Not by her status, nor by a segment that is left alone.
        customers.is_suppressed or not segments.is_contactable as is_suppressed,
        coalesce(
            consenting.has_consent,
            {{ silence[var('clv_without_consent')] }}
        ) as has_consent
    from customers
    cross join consent_input
    {%- if is_stopping %}
    cross join stopped
    {%- endif %}
    inner join segments
        on customers.customer_id = segments.customer_id
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
    -- Without the date: a customer is shipped again when something about her changes.
    {{ dbt.hash(payload) }} as row_hash
from described
