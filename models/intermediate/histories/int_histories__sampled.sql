-- grain: one row per customer and cutoff that the fits read
-- More than some millions of customers do not improve the parameters, and a fit has one worker: beyond
-- that a stable hash samples them, the same ones at every run. Customers on a plan are not fitted.
with histories as (

    select *
    from {{ ref('int_histories__observed') }}
    where is_on_plan is not true

),

sizes as (

    select
        cutoff_date,
        count(*) as customers
    from histories
    group by 1

)

select
    histories.customer_id,
    histories.stratum,
    histories.purchase_days,
    histories.frequency,
    histories.recency_days,
    histories.age_days,
    histories.capped_mean_value,
    histories.ln_shares,
    histories.cutoff_date
from histories
inner join sizes
    on histories.cutoff_date = sizes.cutoff_date
where
    case
        when sizes.customers <= {{ var('clv_fit_max_customers') }} then true
        else
            {{ hash_bucket('histories.customer_id', 100000) }}
            < 100000.0 * {{ var('clv_fit_max_customers') }} / sizes.customers
    end
