-- The product of a customer's factors is overlay_value over the sum of baseline_value and a positive floor
-- common to all customers: the explanations describe the served value.
with explained as (

    select
        customer_id,
        exp(sum(ln(multiplier))) as factor
    from {{ ref('clv_explanations') }}
    group by 1

),

floors as (

    select
        predictions.customer_id,
        predictions.baseline_value,
        predictions.overlay_value / explained.factor - predictions.baseline_value
            as floor_value
    from explained
    inner join {{ ref('overlay_predictions') }} as predictions
        on explained.customer_id = predictions.customer_id

),

usual as (

    select avg(floor_value) as floor_value
    from floors

)

select
    floors.customer_id,
    floors.floor_value,
    usual.floor_value as usual_floor_value
from floors
cross join usual
where
    floors.floor_value <= 0
    or abs(floors.floor_value - usual.floor_value)
    > 1e-6 * (floors.baseline_value + usual.floor_value)
