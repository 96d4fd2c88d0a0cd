-- grain: one row per customer who has bought and cutoff, with scores from 1 (worst) to 5 (best)
-- A score is 1 + floor(5 * percent_rank), at most 5; for recency, of the reverse order.
{%- set measures = {
    'recency_score': 'days_since_last_purchase',
    'frequency_score': 'purchase_days',
    'monetary_score': 'value_amount',
} %}
with histories as (

    select
        *,
        age_days - recency_days as days_since_last_purchase
    from {{ ref('int_histories__observed') }}

),

cut_points as (

    select *
    from {{ ref('int_rfm__cut_points') }}

),

scored as (

    select
        {%- for score, measure in measures.items() %}
        case
            when histories.{{ measure }} is null then null
            {%- for cut in range(4, 0, -1) %}
            when histories.{{ measure }} >= {{ score }}s.cut_{{ cut }}
                then {{ 5 - cut if score == 'recency_score' else 1 + cut }}
            {%- endfor %}
            else {{ 5 if score == 'recency_score' else 1 }}
        end as {{ score }},
        {%- endfor %}
        histories.customer_id,
        histories.cutoff_date
    from histories
    {% for score, measure in measures.items() %}
    left join cut_points as {{ score }}s
        on
            histories.cutoff_date = {{ score }}s.cutoff_date
            and {{ score }}s.measure = '{{ measure }}'
    {%- endfor %}

),

combined as (

    select
        *,
        -- Rounded half up; without money the frequency score alone.
        cast(
            floor(
                (frequency_score + coalesce(monetary_score, frequency_score)) / 2.0
                + 0.5
            ) as {{ type_integer() }}
        ) as frequency_monetary_score
    from scored

)

select
    combined.customer_id,
    combined.cutoff_date,
    combined.recency_score,
    combined.frequency_score,
    combined.monetary_score,
    combined.frequency_monetary_score,
    segments.segment
from combined
left join {{ ref('rfm_segments') }} as segments
    on
        combined.recency_score = segments.recency_score
        and combined.frequency_monetary_score = segments.frequency_monetary_score
