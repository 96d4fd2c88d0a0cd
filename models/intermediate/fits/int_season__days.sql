-- grain: one row per cutoff and day, from the first line to the end of the longest horizon
-- The calendar of season-warped time: the week of the year of each day, and what was known at the cutoff
-- from elsewhere: the index of that week, and the weight of a one-off promotion.
{%- set furthest = shaped('clv_horizons') | max %}
with promotions as (

    select
        promotion_date,
        cast(weight as {{ type_double() }}) as weight,
        known_from
    from {{ ref('promotion_days') }}

),

priors as (

    select
        season_week,
        cast(season_index as {{ type_double() }}) as season_index,
        known_from
    from {{ ref('season_prior') }}

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

),

-- Weeks from 1 January on; the last has eight days, or nine.
weeks as (

    select
        *,
        cast(
            least(floor((extract(dayofyear from calendar_date) - 1) / 7), 51)
            as {{ type_integer() }}
        ) as season_week
    from days

)

select
    weeks.cutoff_date,
    weeks.calendar_date,
    weeks.days_ago,
    weeks.season_week,
    priors.season_index as prior_index,
    promotions.promotion_date is not null as is_promotion,
    case
        when
            coalesce(promotions.known_from, promotions.promotion_date)
            <= weeks.cutoff_date
            then coalesce(promotions.weight, 1.0)
        else 1.0
    end as promotion_weight
from weeks
left join promotions
    on weeks.calendar_date = promotions.promotion_date
left join priors
    on
        weeks.season_week = priors.season_week
        and weeks.cutoff_date >= coalesce(priors.known_from, weeks.cutoff_date)
