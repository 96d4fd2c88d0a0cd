-- grain: one row per month of first purchase and months since
with purchase_days as (

    select *
    from {{ ref('int_purchase_days') }}
    where is_purchase and known_until is null

),

as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

members as (

    select
        customer_id,
        {{ month_start('first_purchase_date') }} as cohort_month
    from {{ ref('int_customers__current') }}

),

cohort_sizes as (

    select
        cohort_month,
        count(*) as customers
    from members
    group by 1

),

activity as (

    select
        members.cohort_month,
        {{ months_between('members.cohort_month', 'purchase_days.purchase_date') }}
            as months_since,
        count(distinct purchase_days.customer_id) as active_customers,
        count(*) as purchase_days,
        sum(purchase_days.order_count) as order_count,
        sum(purchase_days.revenue_amount) as revenue_amount,
        sum(purchase_days.value_amount) as value_amount
    from purchase_days
    inner join members
        on purchase_days.customer_id = members.customer_id
    group by 1, 2

),

numbers as (

    select number
    from {{ number_series(
        '(select ' ~ months_between('min(cohort_month)', 'max(as_of_date)')
        ~ ' from cohort_sizes cross join as_of)'
    ) }} as series

),

-- Months without a purchase are rows too: a gap would read as missing data.
calendar as (

    select
        cohort_sizes.cohort_month,
        cohort_sizes.customers,
        numbers.number as months_since,
        {{ add_months('cohort_sizes.cohort_month', 'numbers.number') }} as period_month,
        as_of.as_of_date
    from cohort_sizes
    cross join as_of
    inner join numbers
        on
            {{ months_between('cohort_sizes.cohort_month', 'as_of.as_of_date') }}
            >= numbers.number

),

joined as (

    select
        calendar.cohort_month,
        calendar.months_since,
        calendar.period_month,
        calendar.customers,
        coalesce(activity.active_customers, 0) as active_customers,
        coalesce(activity.purchase_days, 0) as purchase_days,
        cast(coalesce(activity.order_count, 0) as {{ type_integer() }}) as order_count,
        {{ as_money('coalesce(activity.revenue_amount, 0)') }} as revenue_amount,
        {%- if var('clv_value') == 'none' %}
        cast(null as {{ type_money() }}) as value_amount,
        {%- else %}
        {{ as_money('coalesce(activity.value_amount, 0)') }} as value_amount,
        {%- endif %}
        {{ add_months('calendar.period_month', 1) }}
        > {{ add_days('calendar.as_of_date', 1) }} as is_truncated
    from calendar
    left join activity
        on
            calendar.cohort_month = activity.cohort_month
            and calendar.months_since = activity.months_since

)

select
    cohort_month,
    months_since,
    period_month,
    customers,
    active_customers,
    cast(active_customers as {{ type_double() }}) / customers as retention_rate,
    purchase_days,
    order_count,
    revenue_amount,
    value_amount,
    cast(
        sum(value_amount) over (
            partition by cohort_month
            order by months_since
            rows between unbounded preceding and current row
        ) as {{ type_double() }}
    ) / customers as cumulative_value_per_customer,
    is_truncated
from joined
