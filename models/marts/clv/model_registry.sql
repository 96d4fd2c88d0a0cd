-- grain: one row per registered model version and stratum
-- depends_on: {{ ref('int_registry__decisions') }}
with latest as (

    {{ version_statuses() | indent(4) }}

)

select
    versions.model_version,
    versions.stratum,
    latest.status,
    latest.reason,
    latest.decided_by,
    latest.decided_on,
    latest.champion_since,
    case
        when latest.status != 'champion' and latest.champion_since is not null
            then latest.decided_on
    end as champion_until,
    latest.is_pinned,
    versions.definition,
    versions.spec,
    versions.git_commit,
    versions.purchase_model,
    coalesce(versions.k, 1) as k,
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
