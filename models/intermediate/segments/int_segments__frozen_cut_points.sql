-- grain: one row per version of the production cut-points: the settings and the day they are from
-- Memory: it survives --full-refresh. A version is added when those with the same settings are
-- older than clv_cut_point_refresh_days. A version of the as-of date itself is replaced, so that a
-- second build changes nothing; a build at an earlier as-of date than the last adds none.
{{ config(
    materialized='incremental',
    full_refresh=false,
    incremental_strategy='merge',
    unique_key=['effective_date', 'settings'],
    on_schema_change='fail',
) }}
{%- set settings = cut_point_settings() %}
with cutoffs as (

    select *
    from {{ ref('int_cutoffs') }}

),

computed as (

    select
        computed_cut_points.*,
        '{{ settings }}' as settings
    from {{ ref('int_segments__computed_cut_points') }} as computed_cut_points
    inner join cutoffs
        on computed_cut_points.cutoff_date = cutoffs.cutoff_date
    where cutoffs.is_production

){% if is_incremental() %},

-- A valid version of before, or one of later.
kept as (

    select frozen.settings
    from {{ this }} as frozen
    cross join computed
    where
        frozen.settings = '{{ settings }}'
        and frozen.effective_date
        > {{ add_days('computed.cutoff_date', -var('clv_cut_point_refresh_days')) }}
        and frozen.effective_date != computed.cutoff_date

){% endif %}

select
    settings,
    vip_clv,
    notable_clv,
    valuable_clv,
    historic_value,
    outlier_value_365d,
    outlier_purchases_365d,
    outlier_mean_value,
    promising_clv,
    inactivity_days,
    cutoff_date as effective_date
from computed
{%- if is_incremental() %}
where settings not in (select settings from kept)
{%- endif %}
