-- grain: one row per scored as-of date and horizon: all customers who had bought by then, in total
-- Past days keep the values scored at the time; of several runs for a day the last counts.
-- depends_on: {{ ref('int_equity__today') }}
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

history as (

    select scored.*
    from {{ source('clv_state', 'equity_history') }} as scored
    {{ seen('scored', 'as_of_date') | indent(4) }}
    -- Days with another definition of value are not comparable.
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
