-- grain: one row per project: how this run's recipe did in the backtest, over the gate's horizon
-- Apart from int_backtest__binned, which waits for the ranges: the registry wants these before anybody
-- is served.
{%- set horizon = var('clv_gate_horizon_days') %}
with errors as (

    select
        predictions.cutoff_date,
        predictions.expected_value_{{ horizon }}d as predicted,
        cast(outcomes.value_{{ horizon }}d as {{ type_double() }}) as realised
    from {{ ref('int_predictions__expected') }} as predictions
    inner join {{ ref('int_histories__held_out') }} as outcomes
        on
            predictions.customer_id = outcomes.customer_id
            and predictions.cutoff_date = outcomes.cutoff_date
    where predictions.is_recipe and outcomes.value_{{ horizon }}d is not null

)

select
    count(distinct cutoff_date) as backtest_cutoffs,
    avg(abs(realised - predicted)) as backtest_mae,
    sqrt(avg(power(realised - predicted, 2))) as backtest_rmse,
    sum(predicted) / nullif(sum(realised), 0) - 1 as backtest_bias
from errors
where predicted is not null
