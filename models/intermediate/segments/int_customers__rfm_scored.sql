-- grain: one row per customer who has bought, with scores from 1 (worst) to 5 (best)
-- A score is 1 + floor(5 * percent_rank), at most 5; recency runs the other way.
{%- set measures = {
    'recency_score': 'days_since_last_purchase',
    'frequency_score': 'purchase_days',
    'monetary_score': 'value_amount',
} %}
with customers as (

    select *
    from {{ ref('int_customers__current') }}

),

cut_points as (

    select *
    from {{ ref('int_rfm__cut_points') }}

),

scored as (

    select
        {%- for score, measure in measures.items() %}
        case
            when customers.{{ measure }} is null then null
            {%- for cut in range(4, 0, -1) %}
            when customers.{{ measure }} >= {{ score }}s.cut_{{ cut }}
                then {{ 5 - cut if score == 'recency_score' else 1 + cut }}
            {%- endfor %}
            else {{ 5 if score == 'recency_score' else 1 }}
        end as {{ score }},
        {%- endfor %}
        customers.customer_id
    from customers
    {% for score, measure in measures.items() %}
    left join cut_points as {{ score }}s
        on {{ score }}s.measure = '{{ measure }}'
    {%- endfor %}

)

select
    customer_id,
    recency_score,
    frequency_score,
    monetary_score,
    -- Half away from zero; without money frequency speaks alone.
    cast(
        floor((frequency_score + coalesce(monetary_score, frequency_score)) / 2.0 + 0.5)
        as {{ type_integer() }}
    ) as frequency_monetary_score
from scored
