-- grain: one row per cutoff and calendar month ahead: value expected of customers known and yet to come
-- The first month is what is left of the one in progress. Customers known: the curve of the published
-- forecast, a straight line between its days, which are every seventh and 365. Customers to come: those
-- expected in each month until then, times the value of a customer in that month of life. The range is
-- scaled to the errors of months that had ended by the cutoff, shrunk towards the range without them.
{%- set day_before = 'cast(7 * floor(least(starts.day, 364) / 7.0) as '
    ~ type_integer() ~ ')' %}
{%- set prior_windows = 3 %}
with cutoffs as (

    select
        cutoff_date,
        is_production,
        {{ month_start(add_days('cutoff_date', 1)) }} as next_month
    from {{ ref('int_cutoffs') }}

),

forecasts as (

    select
        *,
        {{ add_months('origin_month', 1) }} as next_month
    from {{ ref('int_monthly_forecast') }}

),

curves as (

    select
        cutoff_date,
        day,
        sum(purchase_model) as expected_value
    from {{ ref('int_cohort_forecast') }}
    group by 1, 2

),

-- Where each month begins, in days ahead.
starts as (

    select
        cutoffs.*,
        numbers.number,
        {{ add_months('cutoffs.next_month', 'numbers.number') }} as period_month,
        greatest(
            {{ days_between(
                'cutoffs.cutoff_date', add_months('cutoffs.next_month', 'numbers.number')
            ) }} - 1,
            0
        ) as day
    from cutoffs
    cross join {{ number_series(12) }} as numbers

),

cumulated as (

    select
        starts.*,
        coalesce(since.expected_value, 0.0)
        + (until.expected_value - coalesce(since.expected_value, 0.0))
        * (starts.day - {{ day_before }}) / (until.day - {{ day_before }})
            as expected_value
    from starts
    left join curves as since
        on
            starts.cutoff_date = since.cutoff_date
            and {{ day_before }} = since.day
    left join curves as until
        on
            starts.cutoff_date = until.cutoff_date
            and least({{ day_before }} + 7, 365) = until.day

),

months as (

    select
        since.cutoff_date,
        since.is_production,
        since.next_month,
        since.period_month,
        since.number,
        until.period_month as month_end,
        until.day - since.day as days,
        (until.day - since.day) / cast(
            {{ days_between('since.period_month', 'until.period_month') }}
            as {{ type_double() }}
        ) as share_of_month,
        until.expected_value - since.expected_value as existing_value,
        -- The shortest horizon that the month lies within, or the year.
        case
            {%- for horizon in shaped('clv_horizons') if horizon < 365 %}
            when until.day <= {{ horizon }} then {{ horizon }}
            {%- endfor %}
            else 365
        end as horizon_days
    from cumulated as since
    inner join cumulated as until
        on
            since.cutoff_date = until.cutoff_date
            and since.number + 1 = until.number

),

lives as (

    select
        *,
        max(life_month) over (partition by cutoff_date) as last_month
    from {{ ref('int_new_customer_value') }}

),

-- A month of life that no cohort has reached is as the last that one has.
arrived as (

    select
        months.cutoff_date,
        months.number,
        sum(
            entered.share_of_month * forecasts.new_customers * lives.value_per_customer
        ) as new_value
    from months
    inner join months as entered
        on
            months.cutoff_date = entered.cutoff_date
            and months.number >= entered.number
    inner join forecasts
        on
            entered.next_month = forecasts.next_month
            and entered.period_month = forecasts.period_month
    inner join lives
        on
            months.cutoff_date = lives.cutoff_date
            and least(months.number - entered.number, lives.last_month)
            = lives.life_month
    group by 1, 2

),

variances as (

    select
        cutoff_date,
        horizon_days,
        sum(value_variance) / nullif(sum(expected_value), 0) as variance_ratio
    from {{ ref('int_cohorts__predicted') }}
    group by 1, 2

),

valued as (

    select
        months.*,
        forecasts.method,
        forecasts.naive_method,
        months.share_of_month * forecasts.new_customers as new_customers,
        arrived.new_value,
        months.existing_value + arrived.new_value as total_value,
        forecasts.naive_value,
        forecasts.actual_value,
        variances.variance_ratio * months.existing_value
        + power(errors.shared_error * months.existing_value, 2)
        + power(forecasts.relative_error * arrived.new_value, 2) as value_variance
    from months
    left join forecasts
        on
            months.next_month = forecasts.next_month
            and months.period_month = forecasts.period_month
    left join arrived
        on
            months.cutoff_date = arrived.cutoff_date
            and months.number = arrived.number
    left join variances
        on
            months.cutoff_date = variances.cutoff_date
            and months.horizon_days = variances.horizon_days
    left join {{ ref('int_shared_errors') }} as errors
        on
            months.cutoff_date = errors.cutoff_date
            and months.horizon_days = errors.horizon_days
            and errors.group_level = 'total'

),

-- Squared errors over their variance, of whole months that had ended by a later cutoff.
ended as (

    select
        cutoffs.cutoff_date,
        count(distinct valued.cutoff_date) as windows,
        avg(
            power(valued.actual_value - valued.total_value, 2) / valued.value_variance
        ) as squared_error
    from valued
    inner join cutoffs
        on valued.month_end <= cutoffs.next_month
    where valued.share_of_month = 1 and valued.value_variance > 0
    group by 1

),

scaled as (

    select
        valued.*,
        {{ learned_reach(
            'valued.value_variance', 'valued.total_value', 'ended', prior_windows
        ) | indent(8) }} as reach
    from valued
    left join ended
        on valued.cutoff_date = ended.cutoff_date

)

select
    is_production,
    period_month,
    horizon_days,
    days,
    share_of_month,
    method,
    new_customers,
    existing_value,
    case when existing_value is not null then new_value end as new_value,
    total_value,
    total_value * exp(-coalesce(reach, 0)) as lower_80,
    total_value * exp(coalesce(reach, 0)) as upper_80,
    naive_method,
    naive_value,
    actual_value,
    cutoff_date
from scaled
