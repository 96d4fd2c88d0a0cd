-- Up to every horizon the purchase model's forecast of a cohort is what cohort_clv publishes, and
-- the weeks of cohort_forecast are those of the same curve. As of the as-of date a cohort has rows if
-- its customers have expected value.
with curves as (

    select *
    from {{ ref('int_cohort_forecast') }}

),

-- Before anyone has bought again, or without a model of value, nothing is expected.
published as (

    select
        cutoff_date,
        cohort_month,
        horizon_days as day,
        expected_value
    from {{ ref('cohort_clv') }}
    where expected_value is not null

),

scores as (

    select
        as_of_date,
        {{ month_start('first_purchase_date') }} as cohort_month,
        sum(clv_365d) as clv
    from {{ ref('customer_lifetime_value') }}
    where first_purchase_date is not null
    group by 1, 2

),

forecast as (

    select
        cutoff_date,
        cohort_month,
        day,
        sum(purchase_model) as expected_value
    from curves
    group by 1, 2, 3

),

weeks as (

    select
        cohort_month,
        count(*) as weeks,
        sum(cast(purchase_model_value as {{ type_double() }})) as expected_value
    from {{ ref('cohort_forecast') }}
    where group_level = 'cohort' and week > 0
    group by 1

)

select
    'nothing' as compared,
    scores.cohort_month,
    365 as day,
    scores.clv as expected_value,
    published.expected_value as forecast_value
from scores
left join published
    on
        scores.as_of_date = published.cutoff_date
        and scores.cohort_month = published.cohort_month
        and published.day = 365
where scores.clv > 0 and published.cohort_month is null

union all

select
    'horizon' as compared,
    published.cohort_month,
    published.day,
    published.expected_value,
    forecast.expected_value as forecast_value
from published
left join forecast
    on
        published.cutoff_date = forecast.cutoff_date
        and published.cohort_month = forecast.cohort_month
        and published.day = forecast.day
where
    not coalesce(
        abs(forecast.expected_value - published.expected_value)
        <= 1e-9 * published.expected_value, false
    )

union all

select
    'weeks' as compared,
    forecast.cohort_month,
    forecast.day,
    forecast.expected_value,
    weeks.expected_value as forecast_value
from forecast
inner join {{ ref('int_cutoffs') }} as cutoffs
    on forecast.cutoff_date = cutoffs.cutoff_date
left join weeks
    on
        forecast.cohort_month = weeks.cohort_month
        and forecast.day = 7 * weeks.weeks
where
    cutoffs.is_production
    and forecast.day = 364
    -- A week is rounded to four digits, once in each country.
    and not coalesce(
        abs(forecast.expected_value - weeks.expected_value) < 0.01 * weeks.weeks, false
    )
