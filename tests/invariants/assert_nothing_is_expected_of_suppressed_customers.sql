-- A customer suppressed in one mart is suppressed in the other, has a status, and an expected value of 0 (the
-- other horizons: assert_predictions_are_ordered).
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
            or predictions.clv_365d != 0
        )
    )
