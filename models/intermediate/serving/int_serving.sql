-- grain: one row per model version that serves customers: the champion, and a canary for its share
-- A view on the registry, so that promote_model and rollback_model take effect at once. Of two champions
-- the latest serves.
-- depends_on: {{ ref('int_registry__decisions') }}
with latest as (

    {{ version_statuses() | indent(4) }}

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
