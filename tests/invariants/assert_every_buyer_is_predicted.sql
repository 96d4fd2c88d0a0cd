-- Every history at every cutoff has a prediction by the recipe, and with a value model a value.
select
    histories.customer_id,
    histories.cutoff_date
from {{ ref('int_histories__observed') }} as histories
left join {{ ref('int_predictions__scored') }} as predictions
    on
        histories.customer_id = predictions.customer_id
        and histories.cutoff_date = predictions.cutoff_date
        and predictions.is_recipe
where
    predictions.probability_alive is null
    {%- if var('clv_value') != 'none' %}
    or predictions.clv_365d is null
    or predictions.clv_365d_p50 is null
    {%- endif %}
    or predictions.expected_purchases_365d is null
