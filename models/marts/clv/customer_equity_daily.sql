-- grain: one row per as-of date that was scored and horizon: everybody who had bought by then, together
-- Each day is as it was scored then; of several runs for a day the last counts.
-- depends_on: {{ ref('int_equity__today') }}
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

history as (

    select scored.*
    from {{ source('clv_state', 'equity_history') }} as scored
    {{ seen('scored', 'as_of_date') | indent(4) }}
    -- Days of another definition of value cannot be compared.
    where scored.definition = '{{ model_definition() }}'
    qualify row_number() over (
        partition by scored.as_of_date, scored.horizon_days
        order by scored.recorded_at desc, scored.invocation_id desc
    ) = 1

)

select
    history.as_of_date,
    history.horizon_days,
    history.as_of_date = as_of.as_of_date as is_latest,
    history.run_kind,
    history.model_version,
    history.customers,
    history.expected_purchases,
    history.clv,
    history.expected_value,
    {{- group_bounds('history', 'history') }}
    history.shared_error,
    history.windows,
    history.learned_horizon_days,
    history.interval_source,
    history.learned_on
from history
cross join as_of
