{#
    One row per model version of the log: its status after its latest event, and when it last served.
    pinned and unpinned are not statuses. `logs` are those whose events are read.
#}
{% macro version_statuses(logs=none) -%}
    select
        model_version,
        status,
        reason,
        decided_by,
        decided_on,
        event_number,
        last_served_number,
        champion_since,
        is_pinned
    from (
        select
            events.*,
            max(case when events.status = 'champion' then events.event_number end)
                over (partition by events.model_version) as last_served_number,
            max(case when events.status = 'champion' then events.decided_on end)
                over (partition by events.model_version) as champion_since,
            -- The latest pin or unpin by an operator, of any version.
            coalesce(
                max(case when events.status = 'pinned' then events.event_number end)
                    over (partition by events.model_version)
                = max(
                    case when events.status in ('pinned', 'unpinned') then events.event_number end
                ) over (partition by 1),
                false
            ) as is_pinned
        from {{ source('clv_state', 'registry_events') }} as events
        {{ seen('events', 'decided_on', logs) | indent(8) }}
    ) as told
    where status not in ('pinned', 'unpinned')
    qualify row_number() over (
        partition by model_version
        order by event_number desc
    ) = 1
{%- endmacro %}
