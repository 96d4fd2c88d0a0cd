-- grain: one row per model version that serves customers: the champion, and a canary for its share
-- A view on the registry, so that promote_model and rollback_model work at once. The latest of two
-- champions is the one.
-- depends_on: {{ ref('int_registry__decisions') }}
with latest as (

    select
        events.model_version,
        events.status,
        events.decided_on,
        events.event_number
    from {{ source('clv_state', 'registry_events') }} as events
    {{ seen('events', 'decided_on') | indent(4) }}
    where events.status not in ('pinned', 'unpinned')
    qualify row_number() over (
        partition by events.model_version
        order by events.event_number desc
    ) = 1

)

select
    model_version,
    status,
    case
        when status = 'canary' then {{ var('clv_canary_share') }}
        else 1.0
    end as share,
    decided_on
from latest
where status in ('champion', 'canary')
qualify row_number() over (
    partition by status
    order by event_number desc
) = 1
