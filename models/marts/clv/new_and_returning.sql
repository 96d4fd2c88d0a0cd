-- grain: one row per calendar month, from that of the first transaction to that of the as-of date
{%- set conditions = {'new': 'is_new', 'returning': 'not is_new'} %}
with as_of as (

    select
        first_transaction_date,
        as_of_date
    from {{ ref('int_as_of') }}

),

members as (

    select
        customer_id,
        {{ month_start('first_purchase_date') }} as cohort_month
    from {{ ref('int_customers__current') }}

),

-- Days without a purchase left after refunds hold revenue, too.
purchase_days as (

    select
        customer_id,
        {{ month_start('purchase_date') }} as period_month,
        is_purchase,
        order_count,
        revenue_amount
    from {{ ref('int_purchase_days') }}
    where known_until is null

),

customer_months as (

    select
        purchase_days.customer_id,
        purchase_days.period_month,
        coalesce(purchase_days.period_month = members.cohort_month, false) as is_new,
        count(case when purchase_days.is_purchase then 1 end) as purchase_days,
        sum(
            case
                when purchase_days.is_purchase then purchase_days.order_count
                else 0
            end
        ) as order_count,
        sum(
            case
                when purchase_days.is_purchase then purchase_days.revenue_amount
                else 0
            end
        ) as revenue_amount,
        sum(
            case
                when purchase_days.is_purchase then 0
                else purchase_days.revenue_amount
            end
        ) as other_revenue_amount
    from purchase_days
    left join members
        on purchase_days.customer_id = members.customer_id
    group by 1, 2, 3

),

summed as (

    select
        period_month,
        {%- for name, condition in conditions.items() %}
        count(case when {{ condition }} and purchase_days > 0 then 1 end)
            as {{ name }}_customers,
        {%- for measure in ['purchase_days', 'order_count', 'revenue_amount'] %}
        sum(case when {{ condition }} then {{ measure }} else 0 end)
            as {{ name }}_{{ measure }},
        {%- endfor %}
        {%- endfor %}
        count(
            case
                when is_new and purchase_days > 1 or not is_new and purchase_days > 0
                    then 1
            end
        ) as repeat_customers,
        sum(other_revenue_amount) as other_revenue_amount
    from customer_months
    group by 1

),

numbers as (

    select number
    from {{ number_series(
        '(select max(' ~ months_between('first_transaction_date', 'as_of_date')
        ~ ') from as_of)'
    ) }} as series

),

calendar as (

    select
        as_of.as_of_date,
        {{ add_months(month_start('as_of.first_transaction_date'), 'numbers.number') }}
            as period_month
    from as_of
    cross join numbers

),

joined as (

    select
        calendar.period_month,
        {{ add_months('calendar.period_month', 1) }}
        > {{ add_days('calendar.as_of_date', 1) }} as is_truncated,
        {%- for name in ['new', 'returning'] %}
        {%- for measure in ['customers', 'purchase_days', 'order_count'] %}
        cast(coalesce(summed.{{ name }}_{{ measure }}, 0) as {{ type_integer() }})
            as {{ name }}_{{ measure }},
        {%- endfor %}
        {{ as_money('coalesce(summed.' ~ name ~ '_revenue_amount, 0)') }}
            as {{ name }}_revenue_amount,
        {%- endfor %}
        cast(coalesce(summed.repeat_customers, 0) as {{ type_integer() }})
            as repeat_customers,
        {{ as_money('coalesce(summed.other_revenue_amount, 0)') }}
            as other_revenue_amount
    from calendar
    left join summed
        on calendar.period_month = summed.period_month

)

select
    period_month,
    new_customers + returning_customers as customers,
    new_customers,
    returning_customers,
    repeat_customers,
    new_purchase_days,
    returning_purchase_days,
    new_order_count,
    returning_order_count,
    new_revenue_amount,
    returning_revenue_amount,
    other_revenue_amount,
    {{ as_money(
        'new_revenue_amount + returning_revenue_amount + other_revenue_amount'
    ) }} as revenue_amount,
    {%- if var('clv_value') == 'none' %}
    cast(null as {{ type_double() }}) as new_average_order_value,
    cast(null as {{ type_double() }}) as returning_average_order_value,
    cast(null as {{ type_double() }}) as average_order_value,
    {%- else %}
    {%- for name in ['new', 'returning'] %}
    cast({{ name }}_revenue_amount as {{ type_double() }})
    / nullif({{ name }}_order_count, 0) as {{ name }}_average_order_value,
    {%- endfor %}
    cast(new_revenue_amount + returning_revenue_amount as {{ type_double() }})
    / nullif(new_order_count + returning_order_count, 0) as average_order_value,
    {%- endif %}
    cast(returning_customers as {{ type_double() }})
    / nullif(new_customers + returning_customers, 0) as returning_share,
    cast(repeat_customers as {{ type_double() }})
    / nullif(new_customers + returning_customers, 0) as repeat_rate,
    is_truncated
from joined
