-- grain: one row per customer, buyer or not
{%- set horizons = [30, 90, 180, 365] %}
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

buyers as (

    select
        customers.*,
        {%- for horizon in horizons %}
        predictions.probability_purchase_{{ horizon }}d,
        predictions.expected_purchases_{{ horizon }}d,
        predictions.clv_{{ horizon }}d,
        predictions.clv_{{ horizon }}d_p10,
        predictions.clv_{{ horizon }}d_p50,
        predictions.clv_{{ horizon }}d_p90,
        predictions.clv_{{ horizon }}d_p10_raw,
        predictions.clv_{{ horizon }}d_p90_raw,
        predictions.interval_source_{{ horizon }}d,
        {%- endfor %}
        predictions.probability_alive
    from {{ ref('int_customers__current') }} as customers
    inner join {{ ref('int_predictions__scored') }} as predictions
        on
            customers.customer_id = predictions.customer_id
            and customers.as_of_date = predictions.cutoff_date

),

prospects as (

    select
        profiled.customer_id,
        coalesce(profiled.acquisition_source, 'unknown') as acquisition_source,
        coalesce(profiled.country, profiled.first_country, 'unknown') as country,
        as_of.as_of_date
    from {{ ref('int_customers__profiled') }} as profiled
    cross join as_of
    left join buyers
        on profiled.customer_id = buyers.customer_id
    where buyers.customer_id is null

),

priors as (

    select
        *,
        -- Value that comes evenly over the horizon is worth what it is in the middle.
        power(1 + {{ var('clv_discount_rate') }}, -horizon_days / 730.0) as discount
    from {{ ref('int_prospects__prior') }}

),

united as (

    select
        customer_id,
        as_of_date,
        first_purchase_date,
        last_purchase_date,
        frequency,
        recency_days,
        age_days,
        order_count,
        mean_value,
        probability_alive,
        {%- for horizon in horizons %}
        probability_purchase_{{ horizon }}d,
        expected_purchases_{{ horizon }}d,
        clv_{{ horizon }}d,
        clv_{{ horizon }}d_p10,
        clv_{{ horizon }}d_p50,
        clv_{{ horizon }}d_p90,
        clv_{{ horizon }}d_p10_raw,
        clv_{{ horizon }}d_p90_raw,
        interval_source_{{ horizon }}d,
        {%- endfor %}
        'bgnbd_gamma_gamma' as clv_source
    from buyers

    union all

    select
        prospects.customer_id,
        prospects.as_of_date,
        cast(null as date) as first_purchase_date,
        cast(null as date) as last_purchase_date,
        cast(null as {{ type_integer() }}) as frequency,
        cast(null as {{ type_integer() }}) as recency_days,
        cast(null as {{ type_integer() }}) as age_days,
        0 as order_count,
        cast(null as {{ type_double() }}) as mean_value,
        cast(null as {{ type_double() }}) as probability_alive,
        {%- for horizon in horizons %}
        {%- set prior = 'prior_' ~ horizon ~ 'd' %}
        {{ prior }}.probability_purchase as probability_purchase_{{ horizon }}d,
        {{ prior }}.expected_purchases as expected_purchases_{{ horizon }}d,
        {{ prior }}.expected_value * {{ prior }}.discount as clv_{{ horizon }}d,
        {{ prior }}.value_p10 * {{ prior }}.discount as clv_{{ horizon }}d_p10,
        {{ prior }}.value_p50 * {{ prior }}.discount as clv_{{ horizon }}d_p50,
        {{ prior }}.value_p90 * {{ prior }}.discount as clv_{{ horizon }}d_p90,
        cast(null as {{ type_double() }}) as clv_{{ horizon }}d_p10_raw,
        cast(null as {{ type_double() }}) as clv_{{ horizon }}d_p90_raw,
        'cohort_prior' as interval_source_{{ horizon }}d,
        {%- endfor %}
        'cohort_prior' as clv_source
    from prospects
    {% for horizon in horizons %}
    {%- set prior = 'prior_' ~ horizon ~ 'd' %}
    left join priors as {{ prior }}
        on
            prospects.acquisition_source = {{ prior }}.acquisition_source
            and prospects.country = {{ prior }}.country
            and {{ prior }}.horizon_days = {{ horizon }}
    {%- endfor %}

)

select
    *,
    concat(clv_source, '@', cast(as_of_date as {{ type_text() }})) as model_version
from united
