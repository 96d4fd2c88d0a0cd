-- grain: one row per log and version of the production cut-points, with its settings and day
-- State: it survives --full-refresh. A version is added when those with the same settings are
-- older than a quarter. A version of the as-of date itself is replaced, so that a
-- second build changes nothing. Versions of other logs and of later days are ignored (int_logs).
{{ config(
    materialized='incremental',
    full_refresh=false,
    incremental_strategy='merge',
    unique_key=['log_id', 'effective_date', 'settings'],
    on_schema_change='fail',
) }}
with cutoffs as (

    select *
    from {{ ref('int_cutoffs') }}

),

computed as (

    select
        computed_cut_points.*,
        '{{ cut_point_settings() }}' as settings
    from {{ ref('int_segments__computed_cut_points') }} as computed_cut_points
    inner join cutoffs
        on computed_cut_points.cutoff_date = cutoffs.cutoff_date
    where cutoffs.is_production

),

-- Settings with a version that is still valid.
kept as (

    {% if is_incremental() -%}
    select distinct computed.settings
    from computed
    inner join {{ this }} as frozen
        on computed.settings = frozen.settings
    {{ seen('frozen', 'effective_date') | indent(4) }}
    where
        computed.cutoff_date != frozen.effective_date
        -- Cut-points computed without a forecast have no tiers: the first forecast replaces them.
        and (frozen.vip_clv is not null or computed.vip_clv is null)
        and {{ days_between('frozen.effective_date', 'computed.cutoff_date') }}
        < 91
    {%- else -%}
    select settings
    from computed
    where false
    {%- endif %}

)

select
    computed.settings,
    computed.vip_clv,
    computed.notable_clv,
    computed.valuable_clv,
    computed.historic_value,
    computed.outlier_value_365d,
    computed.outlier_purchases_365d,
    computed.outlier_mean_value,
    computed.promising_clv,
    computed.inactivity_days,
    computed.cutoff_date as effective_date,
    logs.log_id
from computed
cross join {{ ref('int_logs') }} as logs
left join kept
    on computed.settings = kept.settings
where logs.is_current and kept.settings is null
