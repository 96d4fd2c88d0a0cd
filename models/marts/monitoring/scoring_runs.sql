-- grain: one row per run of dbt that tried to score
-- A view, so that it includes the run that has just ended.
{{ config(materialized='view', meta={'run_log': true}) }}
with results as (

    select *
    from {{ source('clv_state', 'run_results') }}

),

runs as (

    select
        invocation_id,
        max(as_of_date) as as_of_date,
        max(model_version) as model_version,
        max(case when node = 'customer_lifetime_value' then status end) as status,
        sum(rows_attempted) as rows_attempted,
        sum(rows_scored) as rows_scored,
        sum(case when status in ('error', 'fail', 'runtime error') then 1 else 0 end)
            as failed_nodes,
        sum(case when resource_type = 'model' then duration_seconds else 0 end)
            as duration_seconds,
        max(recorded_at) as started_at
    from results
    group by 1

)

select
    invocation_id,
    as_of_date,
    model_version,
    status,
    cast(rows_attempted as {{ type_integer() }}) as rows_attempted,
    cast(rows_scored as {{ type_integer() }}) as rows_scored,
    cast(rows_attempted - rows_scored as {{ type_integer() }}) as rows_failed,
    cast(failed_nodes as {{ type_integer() }}) as failed_nodes,
    duration_seconds,
    started_at
from runs
where status is not null
