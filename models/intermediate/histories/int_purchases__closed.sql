-- grain: one row per customer with purchase days before the closed day: the sums of those days
with caps as (

    select max(value_caps.value_cap) as value_cap
    from {{ ref('int_value_caps') }} as value_caps
    inner join {{ ref('int_closed_until') }} as closed
        on value_caps.cutoff_date = closed.as_of_date

)

select
    purchase_days.customer_id,
    sum(purchase_days.revenue_amount) as revenue_amount,
    sum(purchase_days.margin_amount) as margin_amount,
    {{ purchase_sums('purchase_days', 'caps.value_cap') }}
from {{ ref('int_purchase_days') }} as purchase_days
inner join {{ ref('int_closed_until') }} as closed
    on purchase_days.purchase_date < closed.closed_until
cross join caps
where
    purchase_days.known_until is null
    and {{ at_closed('purchase_days.purchase_date', '<') }}
group by 1
