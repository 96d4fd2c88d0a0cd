-- A customer suppressed in one mart is suppressed in the other, has a status, and an expected value of 0.
select
    predictions.customer_id,
    predictions.status,
    customer_segments.clv_segment,
    predictions.clv_365d
from {{ ref('customer_lifetime_value') }} as predictions
inner join {{ ref('customer_segments') }} as customer_segments
    on predictions.customer_id = customer_segments.customer_id
where
    predictions.is_suppressed != (customer_segments.clv_segment = 'suppressed')
    or (
        predictions.is_suppressed
        and (
            predictions.status is null
            or customer_segments.is_contactable
            or predictions.probability_alive != 0
            {%- for horizon in [30, 90, 180, 365] %}
            or predictions.probability_purchase_{{ horizon }}d != 0
            or predictions.expected_purchases_{{ horizon }}d != 0
            or predictions.clv_{{ horizon }}d != 0
            or predictions.clv_{{ horizon }}d_p90 != 0
            {%- endfor %}
        )
    )
