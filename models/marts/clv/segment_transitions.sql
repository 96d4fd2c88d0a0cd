-- grain: one row per month, CLV segment at its start and CLV segment at its end
-- Only changes are stored: moves are counted, and the customers who stayed are the remainder, so that no
-- step has a row per customer and month.
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

remembered as (

    select
        memory.customer_id,
        memory.segment,
        memory.refreshed_on,
        {{ month_start('memory.refreshed_on') }} as month
    from {{ ref('int_segments__remembered') }} as memory
    {{ seen('memory', 'refreshed_on') | indent(4) }}

),

month_ends as (

    select *
    from remembered
    qualify row_number() over (
        partition by customer_id, month
        order by refreshed_on desc
    ) = 1

),

changes as (

    select
        month,
        coalesce(
            lag(segment) over (partition by customer_id order by month), 'new'
        ) as from_segment,
        segment as to_segment
    from month_ends

),

moves as (

    select
        month,
        from_segment,
        to_segment,
        count(*) as customers
    from changes
    where from_segment != to_segment
    group by 1, 2, 3

),

flows as (

    select
        month,
        to_segment as segment,
        customers as arrived,
        0 as departed
    from moves

    union all

    select
        month,
        from_segment as segment,
        0 as arrived,
        customers as departed
    from moves
    where from_segment != 'new'

),

numbers as (

    select number
    from {{ number_series(
        '(select coalesce(max(' ~ months_between('month', 'as_of_date')
        ~ '), -1) from moves cross join as_of)'
    ) }} as series

),

-- Every stored month has a row per segment, even without moves.
calendar as (

    select
        segments.clv_segment as segment,
        {{ add_months(month_start('as_of.as_of_date'), '-numbers.number') }} as month
    from {{ ref('clv_segments') }} as segments
    cross join as_of
    cross join numbers

),

balances as (

    select
        calendar.month,
        calendar.segment,
        coalesce(sum(flows.arrived), 0) as arrived,
        coalesce(sum(flows.departed), 0) as departed
    from calendar
    left join flows
        on
            calendar.month = flows.month
            and calendar.segment = flows.segment
    group by 1, 2

),

stays as (

    select
        month,
        segment as from_segment,
        segment as to_segment,
        sum(arrived - departed) over (
            partition by segment
            order by month
            rows between unbounded preceding and current row
        ) - arrived as customers
    from balances

),

transitions as (

    select *
    from moves

    union all

    select *
    from stays
    where customers > 0

)

select
    transitions.month,
    transitions.from_segment,
    transitions.to_segment,
    cast(transitions.customers as {{ type_integer() }}) as customers,
    cast(transitions.customers as {{ type_double() }})
    / sum(transitions.customers) over (
        partition by transitions.month, transitions.from_segment
    ) as share_of_from,
    {{ add_months('transitions.month', 1) }} > {{ add_days('as_of.as_of_date', 1) }}
        as is_truncated
from transitions
cross join as_of
