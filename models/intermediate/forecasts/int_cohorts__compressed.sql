-- grain: one row per cutoff, month of first purchase, country, model version, stratum, frequency, age, stage
-- Sums over customers with the same history: of the published forecast and of the actuals. Given alive
-- they have the same expected purchases, so these sums suffice for a forecast of any day ahead. Nothing is
-- expected of suppressed customers, whose history remains.
{%- set horizons = shaped('clv_horizons') %}
with cutoffs as (

    select *
    from {{ ref('int_cutoffs') }}

),

histories as (

    select
        histories.*,
        {{ month_start('histories.first_purchase_date') }} as cohort_month,
        coalesce(profiled.country, profiled.first_country, 'unknown') as country
    from {{ ref('int_histories__observed') }} as histories
    left join {{ ref('int_customers__profiled') }} as profiled
        on histories.customer_id = profiled.customer_id

),

statuses as (

    select
        customer_id,
        is_suppressed
    from {{ ref('int_customers__status') }}

),

predictions as (

    select
        expected.*,
        1.0 as weight
    from {{ ref('int_predictions__expected') }} as expected
    inner join cutoffs
        on expected.cutoff_date = cutoffs.cutoff_date
    where expected.is_current_spec and not cutoffs.is_production

    union all

    -- At the as-of date, those of the version that serves each customer.
    select
        expected.*,
        case when statuses.is_suppressed then 0.0 else 1.0 end as weight
    from {{ ref('int_predictions__expected') }} as expected
    inner join cutoffs
        on expected.cutoff_date = cutoffs.cutoff_date
    inner join {{ ref('int_scores__served') }} as served
        on
            expected.customer_id = served.customer_id
            and expected.model_version = served.model_version
    left join statuses
        on expected.customer_id = statuses.customer_id
    where cutoffs.is_production

),

outcomes as (

    select *
    from {{ ref('int_histories__held_out') }}

)

select
    histories.cutoff_date,
    histories.cohort_month,
    histories.country,
    predictions.model_version,
    predictions.stratum,
    predictions.frequency,
    predictions.age_days,
    predictions.stage_quarters,
    sum(
        predictions.weight
        * predictions.probability_alive * predictions.expected_value
    ) as value_per_purchase,
    {%- for horizon in horizons %}
    {%- for measure in [
        'expected_purchases', 'expected_value', 'value_variance', 'clv'
    ] %}
    sum(predictions.weight * predictions.{{ measure }}_{{ horizon }}d)
        as {{ measure }}_{{ horizon }}d,
    {%- endfor %}
    sum(outcomes.purchases_{{ horizon }}d) as actual_purchases_{{ horizon }}d,
    sum(outcomes.value_{{ horizon }}d) as actual_value_{{ horizon }}d,
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
group by 1, 2, 3, 4, 5, 6, 7, 8
