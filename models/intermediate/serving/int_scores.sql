-- grain: one row per log, customer and model version: the customer's latest scores by it
-- Versions that served stay for a while, so that a rollback needs no scoring.
-- Its columns are those of int_predictions__scored. Where they may differ BigQuery writes new rows to a table
-- first, and reads them again: a daily run, which no release changes, does not.
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
