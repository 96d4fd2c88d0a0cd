-- grain: one row per cutoff, month of first purchase, country and week before the cutoff
-- Weeks end on the cutoff and every seven days before it; weeks without a purchase are rows too: a
-- gap would read as missing data.
with members as (

    select
        histories.customer_id,
        histories.cutoff_date,
        {{ month_start('histories.first_purchase_date') }} as cohort_month,
        coalesce(profiled.country, profiled.first_country, 'unknown') as country
    from {{ ref('int_histories__observed') }} as histories
    left join {{ ref('int_customers__profiled') }} as profiled
        on histories.customer_id = profiled.customer_id

),

known as (

    select
        customer_id,
        cutoff_date,
        cast(
            floor({{ days_between('purchase_date', 'cutoff_date') }} / 7.0)
            as {{ type_integer() }}
        ) as weeks_ago,
        value_amount
    from {{ ref('int_purchase_days__known') }}

),

summed as (

    select
        members.cutoff_date,
        members.cohort_month,
        members.country,
        known.weeks_ago,
        sum(known.value_amount) as value_amount
    from known
    inner join members
        on
            known.customer_id = members.customer_id
            and known.cutoff_date = members.cutoff_date
    group by 1, 2, 3, 4

),

-- The earliest week is the first with a day of the cohort's month.
cohorts as (

    select
        cutoff_date,
        cohort_month,
        country,
        {{ days_between('cohort_month', 'cutoff_date') }} as days,
        {{ days_between(add_months('cohort_month', 1), 'cutoff_date') }} as days_since
    from summed
    group by 1, 2, 3

),

numbers as (

    select number
    from {{ number_series('(select max(days) from cohorts)') }} as series

)

select
    cohorts.cohort_month,
    cohorts.country,
    numbers.number as weeks_ago,
    -- Without the month of first purchases, whose spike does not predict later weeks.
    cohorts.days_since >= 7 * numbers.number + 6 as is_closed,
    {%- if var('clv_value') == 'none' %}
    cast(null as {{ type_money() }}) as value_amount,
    {%- else %}
    {{ as_money('coalesce(summed.value_amount, 0)') }} as value_amount,
    {%- endif %}
    cohorts.cutoff_date
from cohorts
inner join numbers
    on cohorts.days >= 7 * numbers.number
left join summed
    on
        cohorts.cutoff_date = summed.cutoff_date
        and cohorts.cohort_month = summed.cohort_month
        and cohorts.country = summed.country
        and numbers.number = summed.weeks_ago
