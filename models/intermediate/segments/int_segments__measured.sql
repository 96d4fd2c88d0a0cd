-- grain: one row per customer who has bought and cutoff: what the CLV segments are made from
{%- set is_priced = var('clv_value') != 'none' %}
with cutoffs as (

    select
        is_production,
        cutoff_date,
        {{ add_days('cutoff_date', -365) }} as year_start
    from {{ ref('int_cutoffs') }}

),

histories as (

    select *
    from {{ ref('int_histories__observed') }}

),

purchase_days as (

    {% if is_daily() -%}
    select
        purchase_days.customer_id,
        cutoffs.cutoff_date,
        purchase_days.purchase_date,
        purchase_days.value_amount
    from {{ ref('int_purchase_days') }} as purchase_days
    cross join cutoffs
    where
        purchase_days.is_purchase
        and purchase_days.known_until is null
        and {{ since('purchase_days.purchase_date', daily_window().year_from) }}
    {%- else -%}
    select *
    from {{ ref('int_purchase_days__known') }}
    {%- endif %}

),

statuses as (

    select
        customer_id,
        is_suppressed
    from {{ ref('int_customers__status') }}

),

-- The value that is served now, nothing where it is suppressed; what each backtest would have served.
predictions as (

    select
        current_customers.customer_id,
        current_customers.as_of_date as cutoff_date,
        {%- for column in [
            'probability_alive', 'expected_purchases_365d', 'clv_365d',
        ] %}
        case
            when statuses.is_suppressed then 0.0 * served.{{ column }}
            else served.{{ column }}
        end as {{ column }},
        {%- endfor %}
        coalesce(statuses.is_suppressed, false) as is_suppressed
    from {{ ref('int_customers__current') }} as current_customers
    left join {{ ref('int_scores__served') }} as served
        on current_customers.customer_id = served.customer_id
    left join statuses
        on current_customers.customer_id = statuses.customer_id
    {%- if not is_daily() %}

    union all

    select
        scored.customer_id,
        scored.cutoff_date,
        scored.probability_alive,
        scored.expected_purchases_365d,
        scored.clv_365d,
        false as is_suppressed
    from {{ ref('int_predictions__expected') }} as scored
    inner join cutoffs
        on scored.cutoff_date = cutoffs.cutoff_date
    where
        scored.is_recipe
        and not cutoffs.is_production
        and {{ before_as_of('scored.cutoff_date') }}
    {%- endif %}

),

last_year as (

    select
        purchase_days.customer_id,
        purchase_days.cutoff_date,
        count(*) as purchase_days,
        sum(purchase_days.value_amount) as value_amount
    from purchase_days
    inner join cutoffs
        on purchase_days.cutoff_date = cutoffs.cutoff_date
    where purchase_days.purchase_date > cutoffs.year_start
    group by 1, 2

)

select
    histories.customer_id,
    histories.cutoff_date,
    cutoffs.is_production,
    predictions.is_suppressed,
    histories.purchase_days,
    histories.age_days - histories.recency_days as days_since_last_purchase,
    predictions.probability_alive,
    -- Without money purchases are the value.
    {% if is_priced -%}
    predictions.clv_365d as clv,
    cast(histories.value_amount as {{ type_double() }}) as historic_value,
    {%- else -%}
    predictions.expected_purchases_365d as clv,
    cast(histories.purchase_days as {{ type_double() }}) as historic_value,
    {%- endif %}
    histories.mean_value,
    cast(last_year.value_amount as {{ type_double() }}) as value_365d,
    cast(coalesce(last_year.purchase_days, 0) as {{ type_double() }})
        as purchases_365d
from histories
inner join cutoffs
    on histories.cutoff_date = cutoffs.cutoff_date
inner join predictions
    on
        histories.customer_id = predictions.customer_id
        and histories.cutoff_date = predictions.cutoff_date
left join last_year
    on
        histories.customer_id = last_year.customer_id
        and histories.cutoff_date = last_year.cutoff_date
