-- grain: one row per month of first purchase, cutoff and horizon: what was predicted, what came
{%- set horizons = var('clv_horizons') %}
with cutoffs as (

    select *
    from {{ ref('int_cutoffs') }}

),

histories as (

    select
        *,
        {{ month_start('first_purchase_date') }} as cohort_month
    from {{ ref('int_histories__observed') }}

),

predictions as (

    select expected.*
    from {{ ref('int_predictions__expected') }} as expected
    inner join cutoffs
        on expected.cutoff_date = cutoffs.cutoff_date
    where expected.is_recipe and not cutoffs.is_production

    union all

    -- Now, those of the version that serves each customer.
    select expected.*
    from {{ ref('int_predictions__expected') }} as expected
    inner join cutoffs
        on expected.cutoff_date = cutoffs.cutoff_date
    inner join {{ ref('int_scores__served') }} as served
        on
            expected.customer_id = served.customer_id
            and expected.model_version = served.model_version
    where cutoffs.is_production

),

outcomes as (

    select *
    from {{ ref('int_histories__held_out') }}

),

summed as (

    select
        histories.cohort_month,
        histories.cutoff_date,
        {%- for horizon in horizons %}
        sum(predictions.expected_purchases_{{ horizon }}d)
            as expected_purchases_{{ horizon }}d,
        sum(predictions.expected_purchases_{{ horizon }}d * predictions.expected_value)
            as expected_value_{{ horizon }}d,
        sum(predictions.value_variance_{{ horizon }}d) as value_variance_{{ horizon }}d,
        sum(predictions.clv_{{ horizon }}d) as clv_{{ horizon }}d,
        sum(outcomes.purchases_{{ horizon }}d) as realised_purchases_{{ horizon }}d,
        sum(outcomes.value_{{ horizon }}d) as realised_value_{{ horizon }}d,
        {%- endfor %}
        sum(histories.value_amount) as value_to_date_amount,
        count(*) as customers
    from histories
    inner join predictions
        on
            histories.customer_id = predictions.customer_id
            and histories.cutoff_date = predictions.cutoff_date
    left join outcomes
        on
            histories.customer_id = outcomes.customer_id
            and histories.cutoff_date = outcomes.cutoff_date
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
    cast(realised_purchases_{{ horizon }}d as {{ type_integer() }})
        as realised_purchases,
    {{ as_money('realised_value_' ~ horizon ~ 'd') }} as realised_value_amount
from summed
{{- '\n\nunion all\n\n' if not loop.last }}
{%- endfor %}
