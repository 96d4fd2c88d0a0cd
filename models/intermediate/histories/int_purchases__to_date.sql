-- grain: one row per customer with purchase days up to the as-of date: the sums of those days
-- The sums of closed days are reused, not recomputed; the value cap is that of the last full run.
with caps as (

    select max(value_caps.value_cap) as value_cap
    from {{ ref('int_value_caps') }} as value_caps
    inner join {{ ref('int_closed_until') }} as closed
        on value_caps.cutoff_date = closed.as_of_date

),

recent as (

    select
        purchase_days.customer_id,
        sum(purchase_days.revenue_amount) as revenue_amount,
        sum(purchase_days.margin_amount) as margin_amount,
        {{ purchase_sums('purchase_days', 'caps.value_cap') | indent(4) }}
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join {{ ref('int_closed_until') }} as closed
        on purchase_days.purchase_date >= closed.closed_until
    cross join caps
    where
        purchase_days.known_until is null
        and {{ at_closed('purchase_days.purchase_date', '>=') }}
    {%- if is_daily() %}
        and {{ since('purchase_days.purchase_date', daily_window().closed_from) }}
    {%- endif %}
    group by 1

),

united as (

    select *
    from {{ ref('int_purchases__closed') }}

    union all

    select *
    from recent

)

select
    customer_id,
    sum(revenue_amount) as revenue_amount,
    sum(margin_amount) as margin_amount,
    cast(sum(purchase_days) as {{ type_integer() }}) as purchase_days,
    cast(sum(order_count) as {{ type_integer() }}) as order_count,
    sum(value_amount) as value_amount,
    sum(capped_value_amount) as capped_value_amount,
    min(first_purchase_date) as first_purchase_date,
    max(last_purchase_date) as last_purchase_date
from united
group by 1
