-- grain: one row per reason not to sync a customer, and one for those who may be
{%- set without_statements = var('clv_consent') == 'managed_at_destination' %}
with consent_input as (

    select count(*) as consent_rows
    from {{ ref('stg_consents') }}

),

permissions as (

    select *
    from {{ ref('export_marketing_cloud__permissions') }}

),

counted as (

    select
        case
            when candidates.exclusion_reason in ('suppressed', 'no_subscriber_key')
                then candidates.exclusion_reason
            when permissions.is_refused or own.is_refused then 'refused'
            when permissions.has_consent or {{
                'consent_input.consent_rows = 0' if without_statements else 'false'
            }} then coalesce(candidates.exclusion_reason, 'none')
            else 'no_consent'
        end as exclusion_reason,
        count(*) as customers
    from {{ ref('export_marketing_cloud__candidates') }} as candidates
    cross join consent_input
    left join {{ ref('int_identities__resolved') }} as identities
        on candidates.customer_id = identities.identifier
    left join permissions
        on
            coalesce(identities.customer_id, candidates.customer_id)
            = permissions.customer_id
    left join permissions as own
        on candidates.customer_id = own.customer_id
    group by 1

),

-- As the candidates were built, which a run that stopped since leaves as they were.
built as (

    select
        cast(max(as_of_date) as date) as as_of_date,
        max(log_id) as log_id
    from {{ ref('export_marketing_cloud__candidates') }}

),

successes as (

    select max(recorded_at) as built_at
    from {{ source('clv_state', 'run_results') }}
    where node = 'export_marketing_cloud__candidates' and status = 'success'

),

reasons as (

    {% for reason in [
        'suppressed', 'no_subscriber_key', 'refused', 'no_consent', 'held_out', 'none'
    ] -%}
    select '{{ reason }}' as exclusion_reason
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

)

select
    reasons.exclusion_reason,
    coalesce(counted.customers, 0) as customers,
    built.as_of_date,
    built.log_id,
    '{{ var("clv_export_key") }}' as export_key,
    cast({{ var('clv_export_max_age_hours') }} as {{ type_double() }}) as max_age_hours,
    successes.built_at
from reasons
cross join built
cross join successes
left join counted
    on reasons.exclusion_reason = counted.exclusion_reason
