-- grain: one row per project: backtest errors of this run's spec over the gate's horizon
-- Separate from int_backtest__binned, which needs the ranges: the registry reads these errors before
-- the served scores are built.
{%- set horizon = var('clv_gate_horizon_days') %}
with errors as (

    select
        predictions.cutoff_date,
        predictions.expected_value_{{ horizon }}d as predicted,
        cast(outcomes.value_{{ horizon }}d as {{ type_double() }}) as actual
    from {{ ref('int_predictions__expected') }} as predictions
    inner join {{ ref('int_histories__held_out') }} as outcomes
        on
            predictions.customer_id = outcomes.customer_id
            and predictions.cutoff_date = outcomes.cutoff_date
    where predictions.is_current_spec and outcomes.value_{{ horizon }}d is not null

)

select
    count(distinct cutoff_date) as backtest_cutoffs,
    avg(abs(actual - predicted)) as backtest_mae,
    sqrt(avg(power(actual - predicted, 2))) as backtest_rmse,
    sum(predicted) / nullif(sum(actual), 0) - 1 as backtest_bias
from errors
where predicted is not null
