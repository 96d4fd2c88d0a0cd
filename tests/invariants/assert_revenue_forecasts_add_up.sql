-- Parts add up to the total of a month, groups to its new customers, and months to the expectation of
-- customer_equity, which is that of 365 days: the months end with it, before it or a leap day after it.
with months as (

    select
        as_of_date,
        count(*) as months,
        sum(days) as days,
        sum(existing_value) as existing_value
    from {{ ref('revenue_forecast') }}
    group by 1

),

sums as (

    select
        period_month,
        sum(new_customers) as new_customers
    from {{ ref('acquisition_forecast') }}
    group by 1

)

select
    'parts' as compared,
    total_value as found,
    existing_value + new_value as counted
from {{ ref('revenue_forecast') }}
where
    (total_value is null) != (existing_value is null)
    or abs(total_value - existing_value - new_value) > 1e-9 * total_value
    or lower_80 > total_value
    or total_value > upper_80

union all

select
    'groups' as compared,
    months.new_customers as found,
    sums.new_customers as counted
from {{ ref('revenue_forecast') }} as months
left join sums
    on months.period_month = sums.period_month
where
    months.new_customers is not null
    and not coalesce(
        abs(months.new_customers - sums.new_customers)
        <= 1e-9 * months.new_customers, false
    )

union all

select
    'year' as compared,
    months.existing_value as found,
    equity.expected_value as counted
from months
left join {{ ref('customer_equity') }} as equity
    on
        months.as_of_date = equity.cutoff_date
        and equity.horizon_days = 365
where
    months.months != 12
    or (equity.expected_value is null) != (months.existing_value is null)
    or (
        (months.days - 365) * (months.existing_value - equity.expected_value)
        < -1e-9 * equity.expected_value
    )
    or (
        months.days = 365
        and abs(months.existing_value - equity.expected_value)
        > 1e-9 * equity.expected_value
    )
