-- grain: one row per registered model version of this log: where it stands before this run
-- Its role is what the run takes it for. There is one champion whatever the events say: the latest of
-- the versions that predict what this run asks for; where none of them serves, the one that did last.
with events as (

    select
        events.model_version,
        events.status,
        events.reason,
        events.decided_on,
        events.event_number
    from {{ source('clv_state', 'registry_events') }} as events
    {{ seen('events', 'decided_on') | indent(4) }}

),

versions as (

    select distinct
        model_version,
        definition
    from {{ source('clv_state', 'registry_parameters') }}

),

latest as (

    select *
    from events
    where status not in ('pinned', 'unpinned')
    qualify row_number() over (
        partition by model_version
        order by event_number desc
    ) = 1

),

pinned as (

    select
        model_version,
        status
    from events
    where status in ('pinned', 'unpinned')
    qualify row_number() over (order by event_number desc) = 1

),

served as (

    select
        model_version,
        max(event_number) as last_served_number
    from events
    where status = 'champion'
    group by 1

),

standing as (

    select
        latest.*,
        versions.definition,
        served.last_served_number,
        coalesce(versions.definition = '{{ model_definition() }}', false) as is_usable,
        coalesce(pinned.status = 'pinned', false) as is_pinned
    from latest
    left join versions
        on latest.model_version = versions.model_version
    left join served
        on latest.model_version = served.model_version
    left join pinned
        on latest.model_version = pinned.model_version

),

-- Those that serve or did, and were not withdrawn.
ranked as (

    select
        *,
        case
            when
                is_usable
                and last_served_number is not null
                and status in ('champion', 'retired')
                then
                    row_number() over (
                        partition by
                            is_usable
                            and last_served_number is not null
                            and status in ('champion', 'retired')
                        order by
                            case when status = 'champion' then 0 else 1 end,
                            last_served_number desc
                    )
        end as place,
        case
            when is_usable and status = 'canary'
                then
                    row_number() over (
                        partition by is_usable and status = 'canary'
                        order by event_number desc
                    )
        end as place_as_canary
    from standing

),

roles as (

    select
        *,
        case
            when place = 1 then 'champion'
            when place = 2 then 'previous'
            when place_as_canary = 1 then 'canary'
        end as role
    from ranked

),

probation as (

    select count(*) > 0 as is_on_probation
    from roles
    inner join {{ ref('int_as_of') }} as as_of
        on
            as_of.as_of_date
            <= {{ add_days('roles.decided_on', var('clv_probation_days')) }}
    where roles.role = 'champion'

)

select
    roles.model_version,
    roles.definition,
    roles.status,
    roles.role,
    roles.is_pinned,
    -- A version that may serve after this run is scored by it.
    coalesce(
        roles.role in ('champion', 'canary')
        or (roles.role = 'previous' and probation.is_on_probation)
        or (roles.is_pinned and roles.is_usable),
        false
    ) as is_scored,
    coalesce(roles.role = 'champion' and probation.is_on_probation, false)
        as is_on_probation,
    roles.reason,
    roles.decided_on,
    roles.event_number,
    roles.last_served_number
from roles
cross join probation
