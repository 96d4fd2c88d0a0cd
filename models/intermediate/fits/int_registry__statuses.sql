-- grain: one row per registered model version of this log: its status before this run
-- The role is what this run uses it as. There is at most one champion, whatever the events say: the
-- latest champion among versions with this run's definition; without one, the version that served last.
{%- set probation_days = 14 %}
with latest as (

    {{ version_statuses() | indent(4) }}

),

versions as (

    select distinct
        model_version,
        definition
    from {{ source('clv_state', 'registry_parameters') }}

),

comparable as (

    select
        latest.*,
        versions.definition,
        coalesce(versions.definition = '{{ model_definition() }}', false) as is_usable
    from latest
    left join versions
        on latest.model_version = versions.model_version

),

-- Versions eligible for each role: they serve or have served, and were not withdrawn.
standing as (

    select
        *,
        case
            when is_usable and status = 'canary' then 'canary'
            when
                is_usable
                and status in ('champion', 'retired')
                and last_served_number is not null
                then 'champion'
        end as place
    from comparable

),

ranked as (

    select
        *,
        row_number() over (
            partition by place
            order by
                case when status = 'retired' then 1 else 0 end,
                coalesce(last_served_number, event_number) desc
        ) as position
    from standing

),

roles as (

    select
        *,
        case
            when position = 1 then place
            when position = 2 and place = 'champion' then 'previous'
        end as role
    from ranked

),

probation as (

    select count(*) > 0 as is_on_probation
    from roles
    inner join {{ ref('int_as_of') }} as as_of
        on
            as_of.as_of_date
            <= {{ add_days('roles.decided_on', probation_days) }}
    where roles.role = 'champion'

)

select
    roles.model_version,
    roles.definition,
    roles.status,
    roles.role,
    roles.is_pinned,
    -- This run scores every version that may serve after it.
    coalesce(
        roles.role in ('champion', 'canary')
        or (roles.role = 'previous' and probation.is_on_probation)
        or (roles.is_pinned and roles.is_usable)
        -- Who withdrew it may think again.
        or (
            roles.status = 'withdrawn' and roles.is_usable
            and as_of.as_of_date
            <= {{ add_days('roles.decided_on', probation_days) }}
        ),
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
cross join {{ ref('int_as_of') }} as as_of
