-- grain: one row per percentile of the customers who have bought, by expected value
-- Read from a histogram with bins 1 % wide, so that customers are not sorted.
{%- set has_value = var('clv_value') != 'none' %}
{%- set value = 'clv_365d' if has_value else 'expected_purchases_365d' %}
with predictions as (

    select
        as_of_date,
        {{ value }} as expected_value
    from {{ ref('customer_lifetime_value') }}
    where frequency is not null and {{ value }} is not null

),

histogram as (

    select
        as_of_date,
        -- Customers with an expected value of zero have the lowest bin.
        case
            when expected_value > 0
                then cast(floor(100 * ln(expected_value)) as {{ type_integer() }})
            else -999999
        end as value_bin,
        count(*) as customers,
        sum(expected_value) as expected_value
    from predictions
    group by 1, 2

),

ranked as (

    select
        *,
        sum(customers) over (
            partition by as_of_date
            order by value_bin
            rows between unbounded preceding and current row
        ) as customers_to_here,
        sum(expected_value) over (
            partition by as_of_date
            order by value_bin
            rows between unbounded preceding and current row
        ) as value_to_here,
        sum(customers) over (partition by as_of_date) as all_customers,
        sum(expected_value) over (partition by as_of_date) as all_value
    from histogram

),

percentiles as (

    select number as percentile
    from {{ number_series(99) }} as series

),

-- The bin of each percentile, with the cumulative number of customers.
placed as (

    select
        ranked.*,
        percentiles.percentile,
        percentiles.percentile * ranked.all_customers / 100.0 as customers_below
    from ranked
    inner join percentiles
        on
            percentiles.percentile * ranked.all_customers / 100.0
            < ranked.customers_to_here
            and percentiles.percentile * ranked.all_customers / 100.0
            >= ranked.customers_to_here - ranked.customers

)

select
    cast(percentile as {{ type_integer() }}) as percentile,
    as_of_date,
    expected_value / customers as expected_value,
    1 - percentile / 100.0 as share_of_customers,
    (
        all_value - value_to_here
        + (customers_to_here - customers_below) * expected_value / customers
    ) / nullif(all_value, 0) as share_of_expected_value
from placed
