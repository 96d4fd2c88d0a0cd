-- grain: one row per calendar month ahead, first channel and country of the customers to come
-- The total is that of revenue_forecast; a group has the share that it has of customers so far, of whom those
-- of half a year earlier count half.
with entered as (

    select
        customers.as_of_date,
        coalesce(profiled.first_channel, 'unknown') as channel,
        coalesce(profiled.country, profiled.first_country, 'unknown') as country,
        sum(power(0.5, customers.age_days / 182.5)) as weight
    from {{ ref('int_customers__current') }} as customers
    left join {{ ref('int_customers__profiled') }} as profiled
        on customers.customer_id = profiled.customer_id
    group by 1, 2, 3

)

select
    revenue.period_month,
    entered.channel,
    entered.country,
    revenue.new_customers * entered.weight
    / sum(entered.weight) over (partition by revenue.period_month) as new_customers,
    entered.as_of_date
from {{ ref('int_revenue') }} as revenue
inner join entered
    on revenue.cutoff_date = entered.as_of_date
where revenue.is_production
