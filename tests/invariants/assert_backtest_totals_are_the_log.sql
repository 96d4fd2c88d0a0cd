-- What came, in every row of the backtest together, in the totals and in the cohorts, is the value
-- of the purchase days of the window, of customers who had bought by the cutoff.
with days as (

    select *
    from {{ ref('int_purchase_days') }}
    where is_purchase

),

windows as (

    select distinct
        cutoff_date,
        horizon_days,
        {{ add_days('cutoff_date', 'horizon_days') }} as horizon_end
    from {{ ref('cohort_clv') }}
    where is_matured

),

logged as (

    select
        windows.cutoff_date,
        windows.horizon_days,
        sum(days.value_amount) as value_amount
    from windows
    inner join days
        on
            windows.cutoff_date < days.purchase_date
            and windows.horizon_end >= days.purchase_date
            and {{ known_at('windows.horizon_end', 'days') }}
    inner join {{ ref('int_histories__observed') }} as observed
        on
            windows.cutoff_date = observed.cutoff_date
            and days.customer_id = observed.customer_id
    group by 1, 2

),

reported as (

    select
        'cohort_clv' as reported_by,
        cutoff_date,
        horizon_days,
        sum(realised_value_amount) as value_amount
    from {{ ref('cohort_clv') }}
    where is_matured
    group by 1, 2, 3

    union all

    select
        'customer_equity' as reported_by,
        cutoff_date,
        horizon_days,
        realised_value_amount as value_amount
    from {{ ref('customer_equity') }}
    where is_matured

    union all

    select
        concat(method, ' by ', group_type) as reported_by,
        cutoff_date,
        horizon_days,
        sum(realised_value_amount) as value_amount
    from {{ ref('model_backtest') }}
    group by 1, 2, 3

)

select
    reported.reported_by,
    reported.cutoff_date,
    reported.horizon_days,
    reported.value_amount,
    logged.value_amount as logged_amount
from reported
left join logged
    on
        reported.cutoff_date = logged.cutoff_date
        and reported.horizon_days = logged.horizon_days
-- The backtest adds up in floats.
where abs(reported.value_amount - coalesce(logged.value_amount, 0)) > 0.01
