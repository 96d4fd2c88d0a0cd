-- grain: one row per model version with a season, cutoff and day: the day in season-warped time
-- A day's length is its seasonal index, one on average. The index is stored with the version's
-- parameters, so that a daily run uses the same without reading history.
with seasons as (

    select
        model_version,
        cutoff_date,
        is_current_spec,
        split(max(season), ',') as season_indexes
    from {{ ref('int_parameters') }}
    where season is not null
    group by 1, 2, 3

),

indexed as (

    select
        seasons.model_version,
        seasons.cutoff_date,
        seasons.is_current_spec,
        days.calendar_date,
        days.days_ago,
        cast(
            {{ array_at('seasons.season_indexes', 'days.season_week') }}
            as {{ type_double() }}
        ) * days.promotion_weight as season_index
    from seasons
    inner join {{ ref('int_season__days') }} as days
        on seasons.cutoff_date = days.cutoff_date

),

cumulated as (

    select
        *,
        sum(season_index) over (
            partition by model_version, cutoff_date
            order by calendar_date
            rows between unbounded preceding and current row
        ) as season_time
    from indexed

),

centred as (

    select
        *,
        max(case when days_ago = 0 then season_time end) over (
            partition by model_version, cutoff_date
        ) as time_of_cutoff
    from cumulated

)

select
    model_version,
    cutoff_date,
    is_current_spec,
    calendar_date,
    days_ago,
    season_index,
    time_of_cutoff - season_time as time_ago
from centred
