-- grain: one row per horizon: expected value of all customers who have bought, as of the as-of date
-- The sum of the served scores; nothing is expected of suppressed customers, who are in the count. Its
-- post-hook stores it in clv_state: no later run can recompute it.
{%- set horizons = shaped('clv_horizons') %}
with champion as (

    select max(model_version) as model_version
    from {{ ref('int_serving') }}
    where status = 'champion'

),

cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}
    where is_production

),

statuses as (

    select
        customer_id,
        is_suppressed
    from {{ ref('int_customers__status') }}

),

paired as (

    select
        case when statuses.is_suppressed then 0.0 else 1.0 end as weight,
        {%- for horizon in horizons %}
        expected.expected_purchases_{{ horizon }}d,
        expected.expected_value_{{ horizon }}d,
        expected.value_variance_{{ horizon }}d,
        served.clv_{{ horizon }}d,
        -- The overlay's factor on the value, and so on its standard deviation.
        coalesce(
            served.clv_{{ horizon }}d / nullif(expected.clv_{{ horizon }}d, 0), 1.0
        ) as factor_{{ horizon }}d,
        {%- endfor %}
        expected.cutoff_date
    from {{ ref('int_predictions__expected') }} as expected
    inner join cutoffs
        on
            expected.cutoff_date = cutoffs.cutoff_date
            and {{ at_as_of('expected.cutoff_date') }}
    inner join {{ ref('int_scores__served') }} as served
        on
            expected.customer_id = served.customer_id
            and expected.model_version = served.model_version
    left join statuses
        on expected.customer_id = statuses.customer_id

),

summed as (

    select
        cutoff_date as as_of_date,
        {%- for horizon in horizons %}
        sum(weight * expected_purchases_{{ horizon }}d)
            as expected_purchases_{{ horizon }}d,
        sum(weight * expected_value_{{ horizon }}d * factor_{{ horizon }}d)
            as expected_value_{{ horizon }}d,
        sum(weight * value_variance_{{ horizon }}d * power(factor_{{ horizon }}d, 2))
            as value_variance_{{ horizon }}d,
        sum(weight * clv_{{ horizon }}d) as clv_{{ horizon }}d,
        {%- endfor %}
        count(*) as customers
    from paired
    group by 1

),

by_horizon as (

    {% for horizon in horizons -%}
    select
        as_of_date,
        {{ horizon }} as horizon_days,
        customers,
        expected_purchases_{{ horizon }}d as expected_purchases,
        expected_value_{{ horizon }}d as expected_value,
        value_variance_{{ horizon }}d as value_variance,
        clv_{{ horizon }}d as clv
    from summed
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

-- A daily run does not estimate errors: it uses those of the last full run.
errors as (

    select *
    from {{ ref('int_shared_errors') }}
    where group_level = 'total'
    qualify cutoff_date = max(cutoff_date) over (partition by group_level)

)

select
    by_horizon.horizon_days,
    champion.model_version,
    by_horizon.customers,
    by_horizon.expected_purchases,
    by_horizon.clv,
    by_horizon.expected_value,
    by_horizon.value_variance,
    errors.shared_error,
    errors.degrees_of_freedom,
    errors.windows,
    errors.learned_horizon_days,
    errors.interval_source,
    errors.cutoff_date as learned_on,
    by_horizon.as_of_date
from by_horizon
cross join champion
inner join errors
    on by_horizon.horizon_days = errors.horizon_days
