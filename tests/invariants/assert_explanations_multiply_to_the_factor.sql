-- The factors of a customer multiply to overlay_value over baseline_value and a floor above nothing that
-- every baseline gets alike: what is explained is what is served.
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
