-- Every history has a prediction by every parameter set of its stratum and cutoff, and with a value
-- model a value; where the customer is told that there is a forecast, there is such a set, and a range.
select
    histories.customer_id,
    histories.cutoff_date,
    parameters.model_version
from {{ ref('int_histories__observed') }} as histories
left join {{ ref('int_parameters') }} as parameters
    on
        histories.stratum = parameters.stratum
        and histories.cutoff_date = parameters.cutoff_date
left join {{ ref('customer_lifetime_value') }} as published
    on
        histories.customer_id = published.customer_id
        and histories.cutoff_date = published.as_of_date
        and published.forecast_status in ('ready', 'unchecked')
left join {{ ref('int_predictions__expected') }} as predictions
    on
        histories.customer_id = predictions.customer_id
        and histories.cutoff_date = predictions.cutoff_date
        and parameters.model_version = predictions.model_version
where
    coalesce(parameters.stratum, published.customer_id) is not null
    and (
        predictions.probability_alive is null
        {%- if var('clv_value') != 'none' %}
        or predictions.clv_365d is null
        or (published.customer_id is not null and published.clv_365d_p50 is null)
        {%- endif %}
        or predictions.expected_purchases_365d is null
    )
