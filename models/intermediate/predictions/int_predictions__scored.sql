-- grain: one row per customer, cutoff and model version: the expectations, with ranges
-- Published quantiles are read at the recalibrated levels of int_calibration for the customer's class; the
-- model's own bounds are further columns.
{%- set horizons = shaped('clv_horizons') %}
with expected as (

    select *
    from {{ ref('int_predictions__expected') }}

),

tabulated as (

    select *
    from {{ ref('int_expectations__wide') }}

),

calibration as (

    select
        stratum,
        range_class,
        cutoff_date,
        {%- for horizon in horizons %}
        max(case when horizon_days = {{ horizon }} then p10_read end)
            as tail_{{ horizon }}d,
        max(case when horizon_days = {{ horizon }} then interval_source end)
            as interval_source_{{ horizon }}d,
        {%- endfor %}
        count(*) as horizons
    from {{ ref('int_calibration') }}
    {%- if is_daily() %}
    -- A daily run does not calibrate: it uses the levels of the last full run.
    where cutoff_date = (select max(learned.cutoff_date) from {{ ref('int_calibration') }} as learned)
    {%- endif %}
    group by 1, 2, 3

),

located as (

    select
        {%- for horizon in horizons %}
        {%- set probability = 'expected.probability_purchase_' ~ horizon ~ 'd' %}
        {%- for level, above in value_levels(horizon).items() %}
        {{ grid_position(probability, above) | indent(8) }}
            as position_{{ horizon }}d_{{ level }},
        {%- endfor %}
        coalesce(calibration.interval_source_{{ horizon }}d, 'model')
            as interval_source_{{ horizon }}d,
        -- Quantiles of value: those of spend, discounted as the expectation is.
        tabulated.discounted_purchases_{{ horizon }}d
        / tabulated.expected_purchases_{{ horizon }}d as discount_{{ horizon }}d,
        tabulated.ln_spend_quantiles_{{ horizon }}d,
        {%- endfor %}
        expected.*
    from expected
    inner join tabulated
        on
            expected.model_version = tabulated.model_version
            and expected.stratum = tabulated.stratum
            and expected.cutoff_date = tabulated.cutoff_date
            and expected.frequency = tabulated.frequency
            and expected.age_days = tabulated.age_days
            and expected.stage_quarters = tabulated.stage_quarters
    left join calibration
        on
            expected.stratum = calibration.stratum
            and expected.range_class = calibration.range_class
            {%- if not is_daily() %}
            and expected.cutoff_date = calibration.cutoff_date
            {%- endif %}

),

bracketed as (

    select
        {%- for horizon in horizons %}
        {%- for level in value_levels(horizon) %}
        {%- set position = 'position_' ~ horizon ~ 'd_' ~ level %}
        {{ grid_node(position) | indent(8) }} as node_{{ horizon }}d_{{ level }},
        {%- endfor %}
        {%- endfor %}
        *
    from located

)

select
    customer_id,
    model_version,
    is_current_spec,
    purchase_model,
    stratum,
    frequency_class,
    probability_alive,
    expected_value,
    {%- for horizon in horizons %}
    {%- set quantiles = 'ln_spend_quantiles_' ~ horizon ~ 'd' %}
    probability_purchase_{{ horizon }}d,
    expected_purchases_{{ horizon }}d,
    clv_{{ horizon }}d,
    {%- for level in value_levels(horizon) %}
    {%- set position = 'position_' ~ horizon ~ 'd_' ~ level %}
    {%- set node = 'node_' ~ horizon ~ 'd_' ~ level %}
    case
        when {{ position }} is null then 0.0 * spend_scale_{{ horizon }}d
        else
            spend_scale_{{ horizon }}d * discount_{{ horizon }}d
            * {{ grid_quantile(quantiles, position, node) | indent(12) }}
    end as clv_{{ horizon }}d_{{ level }},
    {%- endfor %}
    interval_source_{{ horizon }}d,
    {%- endfor %}
    cutoff_date
from bracketed
