-- grain: one row per target and thing to say before anything is synced there
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
        max(suppressed_users) as suppressed_users,
        max(linked_users) as linked_users
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

-- Runs that synced an audience; others take out who withdraws, or read what is there.
last_runs as (

    select
        target,
        log_id,
        as_of_date
    from {{ ref('export_marketing_cloud__runs') }}
    where
        as_of_date is not null
        and coalesce(mode, 'delta') in ('delta', 'full', 'rotate')
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

said as (

    select
        target,
        check_name,
        is_stopping,
        cast(null as {{ type_instant() }}) as stops_at,
        stops_until,
        case
            when check_name in (
                'consents_are_lost', 'refusals_are_lost', 'statuses_are_lost',
                'links_are_lost', 'grants_are_of_the_future', 'statuses_suppress_nobody'
            ) then 'accept_consents'
            when check_name = 'statements_are_about_nobody'
                then 'accept_nobody'
        end as accepted_by,
        sentence,
        consent_users,
        refusing_users,
        suppressed_users,
        linked_users
    from consent_checks

),

checks as (

    {% for check in [
        'audience_is_old', 'audience_is_of_another_log', 'audience_is_of_an_earlier_day'
    ] -%}
    select '{{ check }}' as check_name
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

judged as (

    select
        facts.target,
        checks.check_name,
        checks.check_name != 'audience_is_old' or facts.built_at is null as is_stopping,
        case
            when checks.check_name = 'audience_is_old'
                then facts.built_at + interval {{ (hours * 60) | int }} minute
        end as stops_at,
        cast(null as {{ type_instant() }}) as stops_until,
        'accept_audience' as accepted_by,
        case
            when checks.check_name = 'audience_is_old' and facts.built_at is null
                then 'nobody knows when the audience was built'
            when checks.check_name = 'audience_is_old'
                then concat(
                    'the audience was built at ',
                    cast(facts.built_at as {{ type_text() }}),
                    ' (UTC), and is synced for {{ hours }} hours'
                )
            when
                checks.check_name = 'audience_is_of_another_log'
                and {{ log_family('facts.last_log_id') }}
                != coalesce({{ log_family('facts.log_id') }}, '')
                then concat(
                    'the audience is of log ', coalesce(facts.log_id, '(none)'),
                    ', and ', facts.target, ' holds one of log ', facts.last_log_id,
                    ', another shop'
                )
            when
                checks.check_name = 'audience_is_of_an_earlier_day'
                and facts.as_of_date < facts.last_as_of_date
                then concat(
                    'the audience is as of ',
                    cast(facts.as_of_date as {{ type_text() }}),
                    ', before the one synced last, as of ',
                    cast(facts.last_as_of_date as {{ type_text() }})
                )
        end as sentence,
        facts.consent_users,
        facts.refusing_users,
        facts.suppressed_users,
        facts.linked_users
    from facts
    cross join checks

)

select *
from said

union all

select *
from judged
where sentence is not null
