-- grain: one row per calendar month, from that of the first transaction to that of the as-of date
-- Active at the end of a month: a purchase day within the inactivity window of the CLV segments. A
-- purchase day enters with its month, and leaves with the first month that ends after its window, so
-- that no step has a row per customer and month.
with as_of as (

    select
        as_of.first_transaction_date,
        as_of.as_of_date,
        cut_points.inactivity_days,
        {{ month_start('as_of.as_of_date') }} as last_month
    from {{ ref('int_as_of') }} as as_of
    inner join {{ ref('int_segments__cut_points') }} as cut_points
        on as_of.as_of_date = cut_points.cutoff_date

),

purchase_days as (

    select
        purchase_days.customer_id,
        purchase_days.value_amount,
        as_of.as_of_date,
        as_of.last_month,
        {{ month_start('purchase_days.purchase_date') }} as entry_month,
        min({{ month_start('purchase_days.purchase_date') }}) over (
            partition by purchase_days.customer_id
        ) as first_month,
        {{ add_days('purchase_days.purchase_date', 'as_of.inactivity_days') }}
            as counts_until
    from {{ ref('int_purchase_days') }} as purchase_days
    cross join as_of
    where purchase_days.is_purchase and purchase_days.known_until is null

),

dated as (

    select
        customer_id,
        value_amount,
        first_month,
        entry_month,
        last_month,
        -- Not before the as-of date: the month after it.
        case
            when counts_until < as_of_date
                then {{ month_start(add_days('counts_until', 1)) }}
            else {{ add_months('last_month', 1) }}
        end as exit_month
    from purchase_days

),

-- A window shorter than a month may not cover the end of one.
counted as (

    select *
    from dated
    where exit_month > entry_month

),

customer_months as (

    select
        customer_id,
        first_month,
        entry_month,
        last_month,
        max(exit_month) as exit_month
    from counted
    group by 1, 2, 3, 4

),

neighbours as (

    select
        *,
        lag(exit_month) over (partition by customer_id order by entry_month)
            as previous_exit_month,
        lead(entry_month) over (partition by customer_id order by entry_month)
            as next_entry_month
    from customer_months

),

stated as (

    select
        customer_id,
        entry_month,
        exit_month,
        case
            when first_month = entry_month then 'new'
            when previous_exit_month >= entry_month then 'retained'
            else 'returned'
        end as state,
        exit_month <= last_month and coalesce(next_entry_month > exit_month, true)
            as is_lapse
    from neighbours

),

flows as (

    select
        entry_month as period_month,
        state,
        count(*) as customers,
        0 as value_amount
    from stated
    group by 1, 2

    union all

    select
        exit_month as period_month,
        'lapsed' as state,
        count(*) as customers,
        0 as value_amount
    from stated
    where is_lapse
    group by 1, 2

    union all

    select
        counted.entry_month as period_month,
        stated.state,
        0 as customers,
        sum(counted.value_amount) as value_amount
    from counted
    inner join stated
        on
            counted.customer_id = stated.customer_id
            and counted.entry_month = stated.entry_month
    group by 1, 2

    union all

    -- What leaves with a customer has lapsed; what leaves before is the change of one who stays.
    select
        counted.exit_month as period_month,
        case when stated.customer_id is null then 'retained' else 'lapsed' end as state,
        0 as customers,
        sum(
            case
                when stated.customer_id is null then -counted.value_amount
                else counted.value_amount
            end
        ) as value_amount
    from counted
    left join stated
        on
            counted.customer_id = stated.customer_id
            and counted.exit_month = stated.exit_month
            and stated.is_lapse
    where counted.exit_month <= counted.last_month
    group by 1, 2

),

summed as (

    select
        period_month,
        {%- for state in ['new', 'returned', 'lapsed'] %}
        sum(case when state = '{{ state }}' then customers else 0 end)
            as {{ state }}_customers,
        {%- endfor %}
        {%- for state in ['new', 'returned', 'retained'] %}
        sum(case when state = '{{ state }}' then value_amount else 0 end)
            as {{ state }}_value_amount,
        {%- endfor %}
        sum(case when state = 'lapsed' then value_amount else 0 end)
            as lapsed_value_amount
    from flows
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
        as_of.inactivity_days,
        {{ add_months(month_start('as_of.first_transaction_date'), 'numbers.number') }}
            as period_month
    from as_of
    cross join numbers

),

joined as (

    select
        {%- for state in ['new', 'returned', 'lapsed'] %}
        coalesce(summed.{{ state }}_customers, 0) as {{ state }}_customers,
        {%- endfor %}
        {%- for state in ['new', 'returned', 'retained', 'lapsed'] %}
        coalesce(summed.{{ state }}_value_amount, 0) as {{ state }}_value_amount,
        {%- endfor %}
        calendar.period_month,
        calendar.as_of_date,
        calendar.inactivity_days
    from calendar
    left join summed
        on calendar.period_month = summed.period_month

),

balances as (

    select
        *,
        sum(new_customers + returned_customers - lapsed_customers) over (
            partition by inactivity_days
            order by period_month
            rows between unbounded preceding and current row
        ) as active_customers,
        sum(
            new_value_amount + returned_value_amount + retained_value_amount
            - lapsed_value_amount
        ) over (
            partition by inactivity_days
            order by period_month
            rows between unbounded preceding and current row
        ) as active_value_amount
    from joined

)

select
    period_month,
    cast(inactivity_days as {{ type_integer() }}) as inactivity_days,
    cast(
        active_customers - new_customers - returned_customers + lapsed_customers
        as {{ type_integer() }}
    ) as active_customers_before,
    cast(new_customers as {{ type_integer() }}) as new_customers,
    cast(
        active_customers - new_customers - returned_customers as {{ type_integer() }}
    ) as retained_customers,
    cast(returned_customers as {{ type_integer() }}) as returned_customers,
    cast(lapsed_customers as {{ type_integer() }}) as lapsed_customers,
    cast(active_customers as {{ type_integer() }}) as active_customers,
    cast(new_customers + returned_customers as {{ type_double() }})
    / nullif(lapsed_customers, 0) as growth_ratio,
    {%- set columns = {
        'active_value_before_amount': 'active_value_amount - new_value_amount - returned_value_amount'
        ~ ' - retained_value_amount + lapsed_value_amount',
        'new_value_amount': 'new_value_amount',
        'returned_value_amount': 'returned_value_amount',
        'retained_value_change_amount': 'retained_value_amount',
        'lapsed_value_amount': 'lapsed_value_amount',
        'active_value_amount': 'active_value_amount',
    } %}
    {%- for column, expression in columns.items() %}
    {%- if var('clv_value') == 'none' %}
    cast(null as {{ type_money() }}) as {{ column }},
    {%- else %}
    {{ as_money(expression) }} as {{ column }},
    {%- endif %}
    {%- endfor %}
    {{ add_months('period_month', 1) }} > {{ add_days('as_of_date', 1) }}
        as is_truncated
from balances
