-- grain: one row per cutoff, completed horizon and predicted probability, in steps of 0.0001
with predictions as (

    select *
    from {{ ref('int_predictions__expected') }}
    where is_current_spec and {{ before_as_of('cutoff_date') }}

),

outcomes as (

    select *
    from {{ ref('int_histories__held_out') }}

),

predicted as (

    {%- for horizon in shaped('clv_horizons') %}
    select
        predictions.cutoff_date,
        {{ horizon }} as horizon_days,
        predictions.probability_purchase_{{ horizon }}d as probability,
        case when outcomes.purchases_{{ horizon }}d > 0 then 1 else 0 end as bought,
        predictions.expected_purchases_{{ horizon }}d as expected_purchases,
        outcomes.purchases_{{ horizon }}d as actual_purchases,
        predictions.expected_value_{{ horizon }}d as expected_value,
        cast(outcomes.value_{{ horizon }}d as {{ type_double() }}) as actual_value
    from predictions
    inner join outcomes
        on
            predictions.customer_id = outcomes.customer_id
            and predictions.cutoff_date = outcomes.cutoff_date
    where outcomes.purchases_{{ horizon }}d is not null
    {{- '\n\n    union all\n' if not loop.last }}
    {%- endfor %}

)

select
    cutoff_date,
    horizon_days,
    cast(floor(10000 * probability) as {{ type_integer() }}) as probability_bin,
    count(*) as customers,
    sum(bought) as buyers,
    sum(probability) as probability,
    sum((probability - bought) * (probability - bought)) as squared_error,
    sum(expected_purchases) as expected_purchases,
    sum(actual_purchases) as actual_purchases,
    sum(
        (expected_purchases - actual_purchases)
        * (expected_purchases - actual_purchases)
    ) as purchase_squared_error,
    sum(expected_value) as expected_value,
    sum(actual_value) as actual_value
from predicted
group by 1, 2, 3
