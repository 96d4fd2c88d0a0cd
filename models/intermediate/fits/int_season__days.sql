-- grain: one row per cutoff and day, from the first line to the end of the longest horizon
-- The calendar of season-warped time: the week of the year of each day, and the weight of a one-off
-- promotion that was known at the cutoff.
{%- set furthest = shaped('clv_horizons') | max %}
with promotions as (

    select
        promotion_date,
        cast(weight as {{ type_double() }}) as weight,
        known_from
    from {{ ref('promotion_days') }}

),

-- Days before the cutoff and after it; for a backtest cutoff at least up to the as-of date.
cutoffs as (

    select
        cutoffs.cutoff_date,
        {{ days_between('as_of.first_transaction_date', 'cutoffs.cutoff_date') }}
            as days_before,
        greatest(
            {{ furthest }},
            {{ days_between('cutoffs.cutoff_date', 'cutoffs.as_of_date') }}
        ) as days_after
    from {{ ref('int_cutoffs') }} as cutoffs
    cross join {{ ref('int_as_of') }} as as_of

),

numbers as (

    select number
    from {{ number_series(
        '(select max(days_before + days_after) from cutoffs)'
    ) }} as series

),

days as (

    select
        cutoffs.cutoff_date,
        cutoffs.days_before - numbers.number as days_ago,
        {{ add_days('cutoffs.cutoff_date', 'numbers.number - cutoffs.days_before') }}
            as calendar_date
    from cutoffs
    inner join numbers
        on numbers.number <= cutoffs.days_before + cutoffs.days_after

)

select
    days.cutoff_date,
    days.calendar_date,
    days.days_ago,
    -- Weeks from 1 January on; the last has eight days, or nine.
    cast(
        least(floor((extract(dayofyear from days.calendar_date) - 1) / 7), 51)
        as {{ type_integer() }}
    ) as season_week,
    promotions.promotion_date is not null as is_promotion,
    case
        when
            coalesce(promotions.known_from, promotions.promotion_date)
            <= days.cutoff_date
            then coalesce(promotions.weight, 1.0)
        else 1.0
    end as promotion_weight
from days
left join promotions
    on days.calendar_date = promotions.promotion_date
