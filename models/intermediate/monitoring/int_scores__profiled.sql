-- grain: one row per bin of the score of a customer, a quarter wide in ln(1 + score)
{%- set has_value = var('clv_value') != 'none' %}
{%- set score = 'clv_365d' if has_value else '1000 * expected_purchases_365d' %}
select
    cast(floor(4 * ln(1 + {{ score }})) as {{ type_integer() }}) as score_bin,
    count(*) as customers,
    max(as_of_date) as as_of_date
from {{ ref('customer_lifetime_value') }}
-- In a short log nobody was a prospect a year ago, and those of today have no prior. What is negative or
-- not finite has no logarithm: score_coverage counts it.
where {{ is_score(score) }}
group by 1
