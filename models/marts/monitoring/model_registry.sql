-- grain: one row per registered model version and stratum
-- depends_on: {{ ref('int_registry__decisions') }}
with events as (

    select events.*
    from {{ source('clv_state', 'registry_events') }} as events
    {{ seen('events', 'decided_on') | indent(4) }}

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

-- The latest time that it served; it may have before.
served as (

    select
        model_version,
        max(decided_on) as champion_since
    from events
    where status = 'champion'
    group by 1

),

pinned as (

    select
        model_version,
        status
    from events
    where status in ('pinned', 'unpinned')
    qualify row_number() over (order by event_number desc) = 1

)

select
    versions.model_version,
    versions.stratum,
    latest.status,
    latest.reason,
    latest.decided_by,
    latest.decided_on,
    served.champion_since,
    case
        when latest.status != 'champion' and served.champion_since is not null
            then latest.decided_on
    end as champion_until,
    coalesce(pinned.status = 'pinned', false) as is_pinned,
    versions.definition,
    versions.recipe,
    versions.git_commit,
    versions.purchase_model,
    {%- for name in model_parameter_names() %}
    versions.{{ name }},
    versions.se_{{ name }},
    {%- endfor %}
    versions.season,
    versions.customers,
    versions.log_likelihood,
    versions.value_log_likelihood,
    {%- for metric in backtest_metrics() %}
    versions.{{ metric }},
    {%- endfor %}
    versions.is_converged,
    versions.message,
    versions.data_from,
    versions.fitted_until
from {{ source('clv_state', 'registry_parameters') }} as versions
inner join latest
    on versions.model_version = latest.model_version
left join served
    on versions.model_version = served.model_version
left join pinned
    on versions.model_version = pinned.model_version
