-- grain: one row per customer who has bought: their value in the first 0, 30, ... 365 days
-- Actual value so far plus expected value of the remaining days, both discounted to the first
-- purchase. Unlike the value of the next 365 days it means the same for every cohort.
{%- set horizons = [30, 90, 180, 365] %}
{%- set annual = 1 + var('clv_discount_rate') %}
with customers as (

    select
        current_customers.customer_id,
        current_customers.age_days,
        current_customers.first_purchase_date,
        lower(coalesce(profiled.acquisition_source, profiled.first_channel, 'unknown'))
            as channel,
        coalesce(statuses.is_suppressed, false) as is_suppressed
    from {{ ref('int_customers__current') }} as current_customers
    inner join {{ ref('int_customers__profiled') }} as profiled
        on current_customers.customer_id = profiled.customer_id
    left join {{ ref('int_customers__status') }} as statuses
        on current_customers.customer_id = statuses.customer_id

),

purchase_days as (

    select
        customer_id,
        purchase_date,
        cast(value_amount as {{ type_double() }}) as value_amount
    from {{ ref('int_purchase_days') }}
    where is_purchase and known_until is null

),

dated as (

    select
        purchase_days.customer_id,
        purchase_days.value_amount,
        {{ days_between(
            'customers.first_purchase_date', 'purchase_days.purchase_date'
        ) }} as days_since_first
    from purchase_days
    inner join customers
        on purchase_days.customer_id = customers.customer_id

),

actual as (

    select
        customer_id,
        {%- for days in horizons %}
        sum(
            case
                when days_since_first <= {{ days }}
                    then value_amount * power({{ annual }}, -days_since_first / 365.0)
            end
        ) as value_{{ days }}d,
        {%- endfor %}
        sum(case when days_since_first = 0 then value_amount end) as value_0d
    from dated
    group by 1

),

expected as (

    select
        {%- for days in horizons %}
        predictions.value_variance_{{ days }}d,
        {%- endfor %}
        served.*
    from {{ ref('int_scores__served') }} as served
    inner join {{ ref('int_predictions__expected') }} as predictions
        on
            served.customer_id = predictions.customer_id
            and served.model_version = predictions.model_version
            and served.cutoff_date = predictions.cutoff_date
    where {{ at_as_of('predictions.cutoff_date') }}

),

-- A suppressed customer has no expected value.
joined as (

    select
        customers.customer_id,
        customers.channel,
        customers.first_purchase_date,
        {%- for days in [0] + horizons %}
        actual.value_{{ days }}d,
        {%- endfor %}
        {%- for days in horizons %}
        case
            when customers.is_suppressed then 0.0
            else
                power({{ annual }}, -customers.age_days / 365.0)
                * {{ within_horizons(
                    'expected.clv_%sd', horizons, '(' ~ days ~ ' - customers.age_days)'
                ) | indent(16) }}
        end as expected_{{ days }}d,
        {%- endfor %}
        case
            when customers.is_suppressed then 0.0
            else
                power({{ annual }}, -customers.age_days / 182.5)
                * {{ within_horizons(
                    'expected.value_variance_%sd', horizons, '(365 - customers.age_days)'
                ) | indent(16) }}
        end as value_variance
    from customers
    inner join actual
        on customers.customer_id = actual.customer_id
    left join expected
        on customers.customer_id = expected.customer_id

)

select
    customer_id,
    channel,
    {{ month_start('first_purchase_date') }} as cohort_month,
    value_0d,
    {%- for days in horizons %}
    value_{{ days }}d + expected_{{ days }}d as value_{{ days }}d,
    {%- endfor %}
    expected_365d as expected_value,
    value_variance
from joined
