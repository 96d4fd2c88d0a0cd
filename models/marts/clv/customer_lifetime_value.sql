-- grain: one row per customer, buyer or not
-- Its post-hook creates function score_history, which scores a hypothetical purchase history.
-- depends_on: {{ ref('model_registry') }}
{{ config(post_hook="{{ create_score_history(this) }}") }}
{%- set horizons = [30, 90, 180, 365] %}
{%- set expectations = ['probability_alive'] %}
{%- for horizon in horizons %}
{%- for measure in [
    'probability_purchase_%sd', 'expected_purchases_%sd', 'clv_%sd', 'clv_%sd_p10',
    'clv_%sd_p50', 'clv_%sd_p90', 'clv_%sd_p10_raw', 'clv_%sd_p90_raw',
] %}
{%- do expectations.append(measure % horizon) %}
{%- endfor %}
{%- endfor %}
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

-- The customer's forecast_status is that of an unchecked horizon if there is one.
readiness as (

    select
        min(case when is_forecast then 1 else 0 end) = 1 as is_forecast,
        coalesce(max(case when status != 'ready' then status end), 'ready')
            as forecast_status
    from {{ ref('int_readiness') }}
    where is_production

),

buyers as (

    select
        {%- for column in expectations %}
        predictions.{{ column }},
        {%- endfor %}
        {%- for horizon in horizons %}
        predictions.interval_source_{{ horizon }}d,
        {%- endfor %}
        case
            when predictions.purchase_model = 'contract' then 'contract'
            {%- if var('clv_overlay') %}
            when overlay.customer_id = predictions.customer_id then 'overlay'
            {%- endif %}
            when predictions.customer_id is null then 'unscored'
            else concat(predictions.purchase_model, '_gamma_gamma')
        end as clv_source,
        case
            when predictions.purchase_model = 'contract'
                then concat(
                    'contract@', cast(customers.as_of_date as {{ type_text() }})
                )
            else predictions.model_version
        end as model_version,
        predictions.cutoff_date as scored_on,
        customers.*
    from {{ ref('int_customers__current') }} as customers
    -- Right after a rollback the scores are those of that version's last run.
    left join {{ ref('int_scores__served') }} as predictions
        on customers.customer_id = predictions.customer_id
    {%- if var('clv_overlay') %}
    left join {{ ref('int_overlay__served') }} as overlay
        on customers.customer_id = overlay.customer_id
    {%- endif %}

),

prospects as (

    select
        profiled.customer_id,
        coalesce(profiled.acquisition_source, 'unknown') as acquisition_source,
        coalesce(profiled.country, profiled.first_country, 'unknown') as country,
        profiled.has_refunds_only,
        as_of.as_of_date
    from {{ ref('int_customers__profiled') }} as profiled
    cross join as_of
    left join {{ ref('int_customers__current') }} as current_customers
        on profiled.customer_id = current_customers.customer_id
    where current_customers.customer_id is null

),

priors as (

    select
        priors.*,
        -- Value is assumed to arrive evenly: discounted from the middle of the horizon.
        power(1 + {{ var('clv_discount_rate') }}, -priors.learned_horizon_days / 730.0)
            as discount
    from {{ ref('int_prospects__prior') }} as priors
    cross join readiness
    where readiness.is_forecast

),

statuses as (

    select
        customer_id,
        status,
        is_suppressed
    from {{ ref('int_customers__status') }}

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
        {%- for column in expectations %}
        {{ column }},
        {%- endfor %}
        {%- for horizon in horizons %}
        interval_source_{{ horizon }}d,
        {%- endfor %}
        clv_source,
        model_version,
        scored_on
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
        {%- endfor %}
        {%- for horizon in horizons %}
        case
            when prior_{{ horizon }}d.learned_horizon_days = {{ horizon }}
                then 'cohort_prior'
            when prior_{{ horizon }}d.learned_horizon_days < {{ horizon }}
                then 'cohort_prior_of_shorter_horizon'
        end as interval_source_{{ horizon }}d,
        {%- endfor %}
        case when prospects.has_refunds_only then 'refunds_only' else 'cohort_prior' end
            as clv_source,
        case
            when not prospects.has_refunds_only
                then concat(
                    'cohort_prior@', cast(prospects.as_of_date as {{ type_text() }})
                )
        end as model_version,
        case
            when not prospects.has_refunds_only then prospects.as_of_date
        end as scored_on
    from prospects
    -- Customers with refunds only get no prior: they are not new customers.
    {% for horizon in horizons %}
    {%- set prior = 'prior_' ~ horizon ~ 'd' %}
    left join priors as {{ prior }}
        on
            prospects.acquisition_source = {{ prior }}.acquisition_source
            and prospects.country = {{ prior }}.country
            and {{ prior }}.horizon_days = {{ horizon }}
            and not prospects.has_refunds_only
    {%- endfor %}

),

judged as (

    select
        united.*,
        -- Contracts do not wait for the purchase model.
        readiness.is_forecast or united.clv_source = 'contract' as is_forecast,
        readiness.forecast_status,
        statuses.status,
        coalesce(statuses.is_suppressed, false) as is_suppressed
    from united
    cross join readiness
    left join statuses
        on united.customer_id = statuses.customer_id

)

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
    -- 0 for suppressed customers; null stays null.
    {%- for column in expectations %}
    case when is_suppressed then 0.0 * {{ column }} else {{ column }} end
        as {{ column }},
    {%- endfor %}
    {%- for horizon in horizons %}
    case when is_forecast then interval_source_{{ horizon }}d end
        as interval_source_{{ horizon }}d,
    {%- endfor %}
    case
        when is_forecast or clv_source = 'refunds_only' then clv_source
        else 'withheld'
    end as clv_source,
    forecast_status,
    case when is_forecast then model_version end as model_version,
    case when is_forecast then scored_on end as scored_on,
    status,
    is_suppressed
from judged
