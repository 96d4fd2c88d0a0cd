-- grain: one row per registered model version of this log: where it stands before this run
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
    qualify row_number() over (
        partition by model_version
        order by event_number desc
    ) = 1

),

served as (

    select
        model_version,
        max(event_number) as last_served_number
    from events
    where status = 'champion'
    group by 1

)

select
    latest.model_version,
    versions.definition,
    latest.status,
    latest.reason,
    latest.decided_on,
    latest.event_number,
    served.last_served_number
from latest
inner join versions
    on latest.model_version = versions.model_version
left join served
    on latest.model_version = served.model_version
