-- The input of the fits counts every customer of the sample: compression loses none. Every cutoff at
-- which forecasts are not withheld has a sample, of all customers up to clv_fit_max_customers.
with readiness as (

    select distinct
        cutoff_date,
        buyers
    from {{ ref('int_readiness') }}
    where is_forecast

),

histories as (

    select
        cutoff_date,
        count(*) as customers,
        sum(case when capped_mean_value > 0 then 1 else 0 end) as valued_customers
    from {{ ref('int_histories__sampled') }}
    group by 1

),

compressed_histories as (

    select
        cutoff_date,
        sum(customers) as customers
    from {{ ref('int_histories__compressed') }}
    group by 1

),

compressed_values as (

    select
        cutoff_date,
        sum(customers) as customers
    from {{ ref('int_values__compressed') }}
    group by 1

)

select
    readiness.cutoff_date,
    readiness.buyers,
    histories.customers,
    compressed_histories.customers as customers_in_histories,
    histories.valued_customers,
    compressed_values.customers as customers_in_values
from readiness
left join histories
    on readiness.cutoff_date = histories.cutoff_date
left join compressed_histories
    on readiness.cutoff_date = compressed_histories.cutoff_date
left join compressed_values
    on readiness.cutoff_date = compressed_values.cutoff_date
where
    histories.customers is null
    or (
        readiness.buyers <= {{ var('clv_fit_max_customers') }}
        and histories.customers != readiness.buyers
    )
    or histories.customers != coalesce(compressed_histories.customers, 0)
    or histories.valued_customers != coalesce(compressed_values.customers, 0)
