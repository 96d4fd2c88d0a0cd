-- The actual value summed over the rows of the backtest, in the totals and in the cohorts is the value of
-- the purchase days of the window, of customers who had bought by the cutoff. Every completed window
-- whose forecasts were not withheld is in all of them. With var clv_value none no mart has a value, also
-- where the log has amounts, and model_backtest is of purchases.
with days as (

    select *
    from {{ ref('int_purchase_days') }}
    where
        is_purchase
        and {{
            within_days('purchase_date', ([0] + shaped('clv_backtest_days')) | max)
        }}

),

reported as (

    select
        'cohort_clv' as mart,
        'cohorts' as reported_by,
        cutoff_date,
        horizon_days,
        sum(actual_value_amount) as value_amount
    from {{ ref('cohort_clv') }}
    where is_completed
    group by 1, 2, 3, 4

    union all

    select
        'customer_equity' as mart,
        'totals' as reported_by,
        cutoff_date,
        horizon_days,
        actual_value_amount as value_amount
    from {{ ref('customer_equity') }}
    where is_completed
    {%- if var('clv_value') != 'none' %}

    union all

    select
        'model_backtest' as mart,
        concat(method, ' by ', group_type) as reported_by,
        cutoff_date,
        horizon_days,
        sum(actual_value_amount) as value_amount
    from {{ ref('model_backtest') }}
    group by 1, 2, 3, 4
    {%- endif %}

),

windows as (

    select distinct
        cutoff_date,
        horizon_days,
        {{ add_days('cutoff_date', 'horizon_days') }} as horizon_end
    from reported

),

logged as (

    select
        windows.cutoff_date,
        windows.horizon_days,
        {{ 'null' if var('clv_value') == 'none' else 'sum(days.value_amount)' }}
            as value_amount
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

marts as (

    select 'cohort_clv' as mart

    union all

    select 'customer_equity' as mart
    {%- if var('clv_value') != 'none' %}

    union all

    select 'model_backtest' as mart
    {%- endif %}

),

ended as (

    select
        marts.mart,
        readiness.cutoff_date,
        readiness.horizon_days
    from {{ ref('int_readiness') }} as readiness
    cross join {{ ref('int_as_of') }} as as_of
    cross join marts
    where
        readiness.is_forecast
        and {{ add_days('readiness.cutoff_date', 'readiness.horizon_days') }}
        <= as_of.as_of_date

)

select
    reported.mart,
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
where
    -- The backtest adds up in floats.
    abs(coalesce(reported.value_amount, 0) - coalesce(logged.value_amount, 0)) > 0.01

union all

select
    ended.mart,
    'nothing' as reported_by,
    ended.cutoff_date,
    ended.horizon_days,
    reported.value_amount,
    reported.value_amount as logged_amount
from ended
left join reported
    on
        ended.mart = reported.mart
        and ended.cutoff_date = reported.cutoff_date
        and ended.horizon_days = reported.horizon_days
where reported.mart is null
