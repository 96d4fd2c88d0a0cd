-- grain: one row per target and thing to say before anything is shipped there
{%- set hours = var('clv_export_max_age_hours') %}
with consent_checks as (

    select *
    from {{ ref('export_marketing_cloud__consent_checks') }}

),

targets as (

    select
        target,
        max(consent_users) as consent_users,
        max(refusing_users) as refusing_users,
        max(suppressed_users) as suppressed_users
    from consent_checks
    group by 1

),

built as (

    select
        max(log_id) as log_id,
        max(as_of_date) as as_of_date,
        max(built_at) as built_at
    from {{ ref('export_marketing_cloud__exclusions') }}

),

last_runs as (

    select
        target,
        log_id,
        as_of_date
    from {{ ref('export_marketing_cloud__runs') }}
    where as_of_date is not null
    qualify row_number() over (
        partition by target order by run_number desc, last_seen_at desc, run_id desc
    ) = 1

),

facts as (

    select
        targets.*,
        built.log_id,
        built.as_of_date,
        built.built_at,
        last_runs.log_id as last_log_id,
        last_runs.as_of_date as last_as_of_date
    from targets
    cross join built
    left join last_runs
        on targets.target = last_runs.target

),

judged as (

    select
        target,
        check_name,
        is_stopping,
        cast(null as {{ type_instant() }}) as stops_at,
        case
            when check_name in (
                'consents_are_lost', 'refusals_are_lost', 'statuses_are_lost'
            ) then 'accept_consents'
            when check_name = 'statements_are_about_nobody' then 'accept_nobody'
        end as accepted_by,
        sentence
    from consent_checks

    union all

    select
        target,
        'audience_is_old' as check_name,
        built_at is null as is_stopping,
        built_at + interval {{ (hours * 60) | int }} minute as stops_at,
        'accept_audience' as accepted_by,
        case
            when built_at is null then 'nobody knows when the audience was built'
            else
                concat(
                    'the audience was built at ', cast(built_at as {{ type_text() }}),
                    ' (UTC), and is shipped for {{ hours }} hours'
                )
        end as sentence
    from facts

    union all

    select
        target,
        'audience_is_of_another_log' as check_name,
        true as is_stopping,
        cast(null as {{ type_instant() }}) as stops_at,
        'accept_audience' as accepted_by,
        concat(
            'the audience is of log ', coalesce(log_id, '(none)'), ', and ', target,
            ' holds one of log ', last_log_id, ', another shop'
        ) as sentence
    from facts
    where
        {{ log_family('last_log_id') }} != coalesce({{ log_family('log_id') }}, '')

    union all

    select
        target,
        'audience_is_of_an_earlier_day' as check_name,
        true as is_stopping,
        cast(null as {{ type_instant() }}) as stops_at,
        'accept_audience' as accepted_by,
        concat(
            'the audience is as of ', cast(as_of_date as {{ type_text() }}),
            ', before the one shipped last, as of ',
            cast(last_as_of_date as {{ type_text() }})
        ) as sentence
    from facts
    where as_of_date < last_as_of_date

)

select
    judged.target,
    judged.check_name,
    judged.is_stopping,
    judged.stops_at,
    judged.accepted_by,
    judged.sentence,
    targets.consent_users,
    targets.refusing_users,
    targets.suppressed_users
from judged
inner join targets
    on judged.target = targets.target
