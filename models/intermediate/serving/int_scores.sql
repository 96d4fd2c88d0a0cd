-- grain: one row per log, customer and model version: the latest scores
-- Versions that served are kept for a while, so that a rollback needs no scoring.
-- Its columns are those of int_predictions__scored. Where these may have changed, BigQuery writes the rows to
-- a temporary table and reads them again; daily runs ignore changes of columns to avoid that.
-- depends_on: {{ ref('int_parameters') }} {{ ref('int_registry__statuses') }} {{ ref('int_logs') }}
{{ config(
    materialized='incremental',
    full_refresh=false,
    on_schema_change='ignore' if is_daily() else 'append_new_columns',
    pre_hook=before_transaction("{{ forget_scores() if is_incremental() else 'select 1' }}"),
) }}
select scored.* -- noqa: AM04
from {{ ref('int_predictions__scored') }} as scored
inner join {{ ref('int_cutoffs') }} as cutoffs
    on scored.cutoff_date = cutoffs.cutoff_date
where
    cutoffs.is_production
    and {{ at_as_of('scored.cutoff_date') }}
