-- grain: one row per acquisition source, and for all
{%- set has_value = var('clv_value') != 'none' %}
{%- set score = 'scores.' ~ ('clv_365d' if has_value else 'expected_purchases_365d') %}
with customers as (

    select
        customers.customer_id,
        coalesce(customers.acquisition_source, 'unknown') as acquisition_source,
        {{ is_score(score) }} as is_scored,
        coalesce(scores.clv_source, '') = 'cohort_prior' as is_prior
    from {{ ref('customers') }} as customers
    left join {{ ref('customer_lifetime_value') }} as scores
        on customers.customer_id = scores.customer_id
    -- Customers with refunds only have no score.
    where coalesce(scores.clv_source, '') != 'refunds_only'

),

grouped as (

    {%- for source in ["'all'", 'acquisition_source'] %}
    select
        {{ source }} as acquisition_source,
        {{ 'true' if loop.first else 'false' }} as is_total,
        count(*) as customers,
        sum(case when is_scored then 1 else 0 end) as scored_customers,
        sum(case when is_scored and is_prior then 1 else 0 end) as prior_customers
    from customers
    group by 1, 2
    {{- '\n\n    union all\n' if not loop.last }}
    {%- endfor %}

)

select
    acquisition_source,
    is_total,
    customers,
    cast(scored_customers as {{ type_integer() }}) as scored_customers,
    cast(prior_customers as {{ type_integer() }}) as prior_customers,
    1.0 * scored_customers / customers as coverage_rate
from grouped
