-- What the fits read stands for every customer in the sample: compression loses nobody.
with histories as (

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
    histories.cutoff_date,
    histories.customers,
    compressed_histories.customers as customers_in_histories,
    histories.valued_customers,
    compressed_values.customers as customers_in_values
from histories
left join compressed_histories
    on histories.cutoff_date = compressed_histories.cutoff_date
left join compressed_values
    on histories.cutoff_date = compressed_values.cutoff_date
where
    histories.customers != coalesce(compressed_histories.customers, 0)
    or histories.valued_customers != coalesce(compressed_values.customers, 0)
