-- Nothing is below 0, infinite or NaN, no probability above 1; p10 <= p50 <= p90; values do not fall with
-- the horizon; the probability of a purchase is at most the expected purchases (Markov's inequality). For
-- buyers also, by the same: one in ten spends more than p90, so the expectation is at least a tenth of it;
-- a shrunken prior need not obey that, nor does a calibrated p90. Of a suppressed customer all are 0; where
-- forecasts are withheld there are none.
{%- set slack = '(1 + 1e-9)' %}
{%- set amounts, probabilities = [], ['probability_alive'] %}
{%- for horizon in [30, 90, 180, 365] %}
{%- do probabilities.append('probability_purchase_' ~ horizon ~ 'd') %}
{%- do amounts.append('expected_purchases_' ~ horizon ~ 'd') %}
{%- for level in ['', '_p10', '_p50', '_p90'] %}
{%- do amounts.append('clv_' ~ horizon ~ 'd' ~ level) %}
{%- endfor %}
{%- endfor %}
select
    customer_id,
    clv_source
from {{ ref('customer_lifetime_value') }}
where
    false
    or (
        is_suppressed
        and (
            false
            {%- for column in amounts + probabilities %}
            or {{ column }} != 0
            {%- endfor %}
        )
    )
    or (
        clv_source = 'withheld'
        and coalesce({{ (amounts + probabilities) | join(', ') }}) is not null
    )
    {%- for column in amounts + probabilities %}
    or not coalesce(
        {{ column }} - {{ column }} = 0 and {{ column }} >= 0
        {{- ' and ' ~ column ~ ' <= 1' if column in probabilities }}, true
    )
    {%- endfor %}
    {% for horizon in [30, 90, 180, 365] %}
    or clv_{{ horizon }}d_p10 > clv_{{ horizon }}d_p50
    or clv_{{ horizon }}d_p50 > clv_{{ horizon }}d_p90
    or probability_purchase_{{ horizon }}d
    > expected_purchases_{{ horizon }}d * {{ slack }}
    {%- endfor %}
    or (
        clv_source != 'cohort_prior'
        and (
            false
            {% for horizon in [30, 90, 180, 365] %}
            or clv_{{ horizon }}d * {{ slack }} < 0.1 * clv_{{ horizon }}d_p90_raw
            {%- endfor %}
            {%- for shorter, longer in [(30, 90), (90, 180), (180, 365)] %}
            or clv_{{ shorter }}d > clv_{{ longer }}d * {{ slack }}
            or probability_purchase_{{ shorter }}d
            > probability_purchase_{{ longer }}d * {{ slack }}
            or expected_purchases_{{ shorter }}d
            > expected_purchases_{{ longer }}d * {{ slack }}
            {%- endfor %}
        )
    )
