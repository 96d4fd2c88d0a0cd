-- p10 <= p50 <= p90; a longer horizon never brings less; nobody buys at all more often than she
-- buys (Markov's inequality); the expectation is at least 10 % of the level that 90 % stay above.
{%- set slack = '(1 + 1e-9)' %}
select
    customer_id,
    clv_source
from {{ ref('customer_lifetime_value') }}
where
    false
    {% for horizon in [30, 90, 180, 365] %}
    or clv_{{ horizon }}d_p10 > clv_{{ horizon }}d_p50
    or clv_{{ horizon }}d_p50 > clv_{{ horizon }}d_p90
    or probability_purchase_{{ horizon }}d
    > expected_purchases_{{ horizon }}d * {{ slack }}
    or clv_{{ horizon }}d * {{ slack }} < 0.1 * clv_{{ horizon }}d_p90
    {%- endfor %}
    or (
        clv_source = 'bgnbd_gamma_gamma'
        and (
            false
            {% for shorter, longer in [(30, 90), (90, 180), (180, 365)] %}
            or clv_{{ shorter }}d > clv_{{ longer }}d * {{ slack }}
            or probability_purchase_{{ shorter }}d
            > probability_purchase_{{ longer }}d * {{ slack }}
            or expected_purchases_{{ shorter }}d
            > expected_purchases_{{ longer }}d * {{ slack }}
            {%- endfor %}
        )
    )
