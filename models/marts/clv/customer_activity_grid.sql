-- grain: one row per class of repeat purchase days and of days since the last purchase
{%- set classes = {
    'frequency': [[0, 0], [1, 1], [2, 2], [3, 4], [5, 6], [7, 9], [10, 14], [15, none]],
    'days_since_last_purchase': [
        [0, 30], [31, 60], [61, 90], [91, 180], [181, 365], [366, 730], [731, none],
    ],
} %}
with predictions as (

    select
        *,
        age_days - recency_days as days_since_last_purchase
    from {{ ref('customer_lifetime_value') }}
    where frequency is not null and probability_purchase_90d is not null

),

classed as (

    select
        {%- for measure, bounds in classes.items() %}
        case
            {%- for first, last in bounds if last is not none %}
            when {{ measure }} <= {{ last }} then {{ first }}
            {%- endfor %}
            else {{ bounds[-1][0] }}
        end as {{ measure }}_from,
        case
            {%- for first, last in bounds if last is not none %}
            when {{ measure }} <= {{ last }} then {{ last }}
            {%- endfor %}
        end as {{ measure }}_to,
        {%- endfor %}
        *
    from predictions

)

select
    {%- for measure in classes %}
    cast({{ measure }}_from as {{ type_integer() }}) as {{ measure }}_from,
    cast({{ measure }}_to as {{ type_integer() }}) as {{ measure }}_to,
    {%- endfor %}
    as_of_date,
    count(*) as customers,
    avg(probability_alive) as mean_probability_alive,
    avg(probability_purchase_90d) as mean_probability_purchase_90d,
    avg(expected_purchases_365d) as mean_expected_purchases_365d,
    avg(clv_365d) as mean_clv_365d
from classed
group by 1, 2, 3, 4, 5
