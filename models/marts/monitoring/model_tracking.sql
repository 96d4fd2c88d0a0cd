-- grain: one row per cutoff of a fit and week since the first transaction
-- Tracking plot of the customers known at the cutoff: repeat purchase days that the parameters expect
-- from each customer's first day on, and the actual ones, before the cutoff and after it.
with cutoffs as (

    select
        cutoffs.cutoff_date,
        cutoffs.is_production,
        cutoffs.as_of_date,
        as_of.first_transaction_date
    from {{ ref('int_cutoffs') }} as cutoffs
    cross join {{ ref('int_as_of') }} as as_of
    where
        cutoffs.cutoff_date in (
            select readiness.cutoff_date
            from {{ ref('int_readiness') }} as readiness
            where readiness.is_forecast
        )

),

customers as (

    select
        histories.customer_id,
        histories.stratum,
        histories.first_purchase_date
    from {{ ref('int_histories__observed') }} as histories
    inner join cutoffs
        on histories.cutoff_date = cutoffs.cutoff_date
    where cutoffs.is_production and histories.is_on_plan is not true

),

numbers as (

    select number
    from {{ number_series(
        '(select max(' ~ days_between('first_transaction_date', 'as_of_date')
        ~ ') from cutoffs)'
    ) }} as series

),

-- Full weeks only, of seven days from the first transaction on.
weeks as (

    select
        cutoffs.cutoff_date,
        numbers.number + 1 as week,
        {{ add_days('cutoffs.first_transaction_date', '7 * numbers.number + 6') }}
            as week_end_date
    from cutoffs
    inner join numbers
        on
            {{ days_between('cutoffs.first_transaction_date', 'cutoffs.as_of_date') }}
            >= 7 * numbers.number + 6

),

cohorts as (

    select
        stratum,
        first_purchase_date,
        count(*) as customers
    from customers
    group by 1, 2

),

-- Season-warped time, if the spec has a season.
season as (

    select
        cutoff_date,
        calendar_date,
        time_ago
    from {{ ref('int_season') }}
    where is_current_spec

),

expected as (

    select
        weeks.cutoff_date,
        weeks.week,
        sum(cohorts.customers * curve.expected_purchases) as expected_cumulative
    from weeks
    inner join cohorts
        on
            weeks.cutoff_date >= cohorts.first_purchase_date
            and weeks.week_end_date >= cohorts.first_purchase_date
    left join season as first_day
        on
            weeks.cutoff_date = first_day.cutoff_date
            and cohorts.first_purchase_date = first_day.calendar_date
    left join season as week_end
        on
            weeks.cutoff_date = week_end.cutoff_date
            and weeks.week_end_date = week_end.calendar_date
    inner join {{ ref('int_tracking_curve') }} as curve
        on
            weeks.cutoff_date = curve.cutoff_date
            and cohorts.stratum = curve.stratum
            and coalesce(
                cast(
                    round(first_day.time_ago - week_end.time_ago)
                    as {{ type_integer() }}
                ),
                {{ days_between(
                    'cohorts.first_purchase_date', 'weeks.week_end_date'
                ) }}
            ) = curve.day
    group by 1, 2

),

repeats as (

    select
        cutoffs.cutoff_date,
        cast(
            floor(
                {{ days_between(
                    'cutoffs.first_transaction_date', 'purchase_days.purchase_date'
                ) }} / 7.0
            ) as {{ type_integer() }}
        ) + 1 as week,
        count(*) as purchases
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join customers
        on
            purchase_days.customer_id = customers.customer_id
            and purchase_days.purchase_date > customers.first_purchase_date
    inner join cutoffs
        on customers.first_purchase_date <= cutoffs.cutoff_date
    where purchase_days.is_purchase and purchase_days.known_until is null
    group by 1, 2

),

cumulated as (

    select
        weeks.cutoff_date,
        weeks.week,
        weeks.week_end_date,
        coalesce(expected.expected_cumulative, 0) as expected_cumulative,
        coalesce(repeats.purchases, 0) as actual_incremental,
        sum(coalesce(repeats.purchases, 0)) over (
            partition by weeks.cutoff_date
            order by weeks.week
            rows between unbounded preceding and current row
        ) as actual_cumulative
    from weeks
    left join expected
        on
            weeks.cutoff_date = expected.cutoff_date
            and weeks.week = expected.week
    left join repeats
        on
            weeks.cutoff_date = repeats.cutoff_date
            and weeks.week = repeats.week

)

select
    cutoff_date,
    week,
    week_end_date,
    week_end_date <= cutoff_date as is_in_sample,
    expected_cumulative,
    cast(actual_cumulative as {{ type_integer() }}) as actual_cumulative,
    expected_cumulative / nullif(actual_cumulative, 0) - 1 as cumulative_error,
    expected_cumulative - coalesce(
        lag(expected_cumulative) over (
            partition by cutoff_date
            order by week
        ), 0
    ) as expected_incremental,
    actual_incremental
from cumulated
