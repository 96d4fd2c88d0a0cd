-- A level of the next purchase date lies within a horizon exactly where customer_lifetime_value gives a
-- purchase within it at least that probability; the dates are in order, after the as-of date, and there
-- where the status says so.
{{ config(tags=['full_run']) }}
{%- set dated = "orders.next_purchase_status in ('dated', 'open_ended')" %}
select
    orders.customer_id,
    orders.next_purchase_status
from {{ ref('customer_next_order') }} as orders
full outer join {{ ref('customer_lifetime_value') }} as forecasts
    on orders.customer_id = forecasts.customer_id
where
    orders.customer_id is null
    or forecasts.customer_id is null
    or abs(
        orders.probability_no_purchase_365d + forecasts.probability_purchase_365d - 1
    ) > 1e-12
    or (orders.probability_no_purchase_365d is null)
    != (forecasts.probability_purchase_365d is null)
    or ({{ dated }}) != (orders.expected_next_purchase_date is not null)
    or ({{ dated }}) != (orders.next_purchase_date_p10 is not null)
    or (orders.next_purchase_status = 'dated')
    != (orders.next_purchase_date_p90 is not null)
    or orders.next_purchase_date_p10 <= orders.as_of_date
    or orders.next_purchase_date_p10 > orders.expected_next_purchase_date
    or orders.expected_next_purchase_date > orders.next_purchase_date_p90
    or (
        forecasts.is_suppressed
        and coalesce(
            orders.expected_next_purchase_date is not null
            or orders.is_overdue is not null, false
        )
    )
    {%- for horizon in [30, 90, 180, 365] %}
    {%- set ends_on = add_days('orders.as_of_date', horizon) %}
    {%- for column, share in {
        'next_purchase_date_p10': 0.1, 'expected_next_purchase_date': 0.5,
        'next_purchase_date_p90': 0.9,
    }.items() %}
    or (
        {{ dated }}
        and (forecasts.probability_purchase_{{ horizon }}d >= {{ share }})
        != coalesce(orders.{{ column }} <= {{ ends_on }}, false)
    )
    {%- endfor %}
    or (
        orders.next_purchase_status like 'not_within%'
        and forecasts.probability_purchase_{{ horizon }}d >= 0.5
    )
    {%- endfor %}
