-- grain: one row per cutoff and month of life: value of a customer in it, on average over earlier cohorts
-- Month 0 is that of the first purchase. A cohort counts in the months that had ended by the cutoff; half a
-- year halves its weight.
with monthly as (

    select
        *,
        {{ month_start(add_days('cutoff_date', 1)) }} as next_month,
        {{ months_between('cohort_month', 'period_month') }} as life_month
    from {{ ref('int_cohorts__monthly') }}

),

cohorts as (

    select
        monthly.cutoff_date,
        monthly.cohort_month,
        monthly.active_customers as customers,
        numbers.number as life_month,
        power(
            0.5,
            {{ months_between('monthly.cohort_month', 'monthly.next_month') }} / 6.0
        ) as weight
    from monthly
    inner join {{ number_series(12) }} as numbers
        on
            {{ months_between('monthly.cohort_month', 'monthly.next_month') }}
            > numbers.number
    where monthly.life_month = 0

)

select
    cohorts.life_month,
    count(*) as cohorts,
    sum(cohorts.weight * coalesce(cast(monthly.value_amount as {{ type_double() }}), 0))
    / sum(cohorts.weight * cohorts.customers) as value_per_customer,
    cohorts.cutoff_date
from cohorts
left join monthly
    on
        cohorts.cutoff_date = monthly.cutoff_date
        and cohorts.cohort_month = monthly.cohort_month
        and cohorts.life_month = monthly.life_month
group by 1, 4
