-- grain: one row per month of first purchase, cutoff and horizon: the predicted and the actual
{%- set horizons = shaped('clv_horizons') %}
with summed as (

    select
        cohort_month,
        cutoff_date,
        {%- for horizon in horizons %}
        {%- for measure in [
            'expected_purchases', 'expected_value', 'value_variance', 'clv',
            'actual_purchases', 'actual_value',
        ] %}
        sum({{ measure }}_{{ horizon }}d) as {{ measure }}_{{ horizon }}d,
        {%- endfor %}
        {%- endfor %}
        sum(value_to_date_amount) as value_to_date_amount,
        cast(sum(customers) as {{ type_integer() }}) as customers
    from {{ ref('int_cohorts__compressed') }}
    group by 1, 2

)

{% for horizon in horizons -%}
select
    cohort_month,
    cutoff_date,
    {{ horizon }} as horizon_days,
    customers,
    {{ as_money('value_to_date_amount') }} as value_to_date_amount,
    expected_purchases_{{ horizon }}d as expected_purchases,
    expected_value_{{ horizon }}d as expected_value,
    value_variance_{{ horizon }}d as value_variance,
    clv_{{ horizon }}d as clv,
    cast(actual_purchases_{{ horizon }}d as {{ type_integer() }})
        as actual_purchases,
    {{ as_money('actual_value_' ~ horizon ~ 'd') }} as actual_value_amount
from summed
{{- '\n\nunion all\n\n' if not loop.last }}
{%- endfor %}
