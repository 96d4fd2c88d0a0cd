-- grain: one row per cutoff and frequency class, and one for all customers
-- Customers are chosen by what was known at the cutoff: their predicted median, or range, lies within the
-- longest horizon that has ended. Time is continuous in the forecast and whole days in the log: of a
-- purchase on day d, the share of the day before the predicted time counts as before it.
{%- set levels = ['p10', 'p50', 'p90'] %}
with compared as (

    select
        waits.cutoff_date,
        waits.frequency_class,
        outcomes.horizon_days,
        {%- for level in levels %}
        coalesce(waits.wait_days_{{ level }} <= outcomes.horizon_days, false)
            as is_within_{{ level }},
        case
            when
                outcomes.days_to_purchase is null or waits.wait_days_{{ level }} is null
                then 0.0
            else
                greatest(
                    0.0,
                    least(
                        1.0, waits.wait_days_{{ level }} - outcomes.days_to_purchase + 1
                    )
                )
        end as before_{{ level }},
        {%- endfor %}
        outcomes.days_to_purchase is not null as has_bought,
        waits.is_overdue
    from {{ ref('int_predictions__waits') }} as waits
    inner join {{ ref('int_histories__next_purchases') }} as outcomes
        on
            waits.customer_id = outcomes.customer_id
            and waits.cutoff_date = outcomes.cutoff_date
    where waits.is_current_spec and {{ before_as_of('waits.cutoff_date') }}

),

kinds as (

    select true as is_class
    union all
    select false as is_class

),

classed as (

    select
        compared.* replace (
            case when kinds.is_class then compared.frequency_class else 'all' end
                as frequency_class
        )
    from compared
    cross join kinds

)

select
    cutoff_date,
    frequency_class,
    max(horizon_days) as horizon_days,
    count(*) as customers,
    count(case when is_within_p50 then 1 end) as customers_with_median,
    avg(case when is_within_p50 then before_p50 end) as share_before_median,
    count(case when is_within_p90 then 1 end) as customers_with_range,
    avg(case when is_within_p90 then before_p90 - before_p10 end)
        as share_within_range,
    avg(case when is_within_p10 then before_p10 end) as share_before_p10,
    count(case when is_overdue then 1 end) as customers_overdue,
    {%- for name, condition in {
        'overdue': 'is_overdue', 'on_time': 'not is_overdue',
    }.items() %}
    avg(
        case
            when {{ condition }} then case when has_bought then 1.0 else 0.0 end
        end
    ) as share_{{ name }}_buying,
    {%- endfor %}
    count(case when not is_overdue then 1 end) as customers_on_time
from classed
group by 1, 2
