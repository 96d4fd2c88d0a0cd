-- grain: one row per customer who has bought and cutoff: the measures that the CLV segments use
{%- set is_priced = var('clv_value') != 'none' %}
with cutoffs as (

    select
        is_production,
        cutoff_date
    from {{ ref('int_cutoffs') }}

),

histories as (

    select *
    from {{ ref('int_histories__observed') }}

),

statuses as (

    select
        customer_id,
        is_suppressed
    from {{ ref('int_customers__status') }}

),

-- The served value, 0 for suppressed customers; at backtest cutoffs the value that would have served.
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
        scored.is_current_spec
        and not cutoffs.is_production
        and {{ before_as_of('scored.cutoff_date') }}
    {%- endif %}

)

select
    histories.customer_id,
    histories.cutoff_date,
    cutoffs.is_production,
    predictions.is_suppressed,
    histories.purchase_days,
    histories.age_days - histories.recency_days as days_since_last_purchase,
    predictions.probability_alive,
    -- Without money expected purchases stand in for value.
    {% if is_priced -%}
    predictions.clv_365d as clv,
    cast(histories.value_amount as {{ type_double() }}) as historic_value,
    {%- else -%}
    predictions.expected_purchases_365d as clv,
    cast(histories.purchase_days as {{ type_double() }}) as historic_value,
    {%- endif %}
    histories.mean_value,
    case when last_year.purchases_365d > 0 then last_year.value_365d end as value_365d,
    cast(coalesce(last_year.purchases_365d, 0) as {{ type_double() }})
        as purchases_365d
from histories
inner join cutoffs
    on histories.cutoff_date = cutoffs.cutoff_date
inner join predictions
    on
        histories.customer_id = predictions.customer_id
        and histories.cutoff_date = predictions.cutoff_date
left join {{ ref('int_purchases__last') }} as last_year
    on
        histories.customer_id = last_year.customer_id
        and histories.cutoff_date = last_year.cutoff_date
