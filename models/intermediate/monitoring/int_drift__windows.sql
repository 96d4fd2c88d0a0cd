-- grain: one row per period that is compared: the current one and those it is compared with
with cutoffs as (

    select
        is_production,
        cutoff_date,
        {{ days_between('cutoff_date', 'as_of_date') }} as days_ago
    from {{ ref('int_cutoffs') }}

),

champion as (

    select max(versions.fitted_until) as fitted_until
    from {{ source('clv_state', 'registry_parameters') }} as versions
    inner join {{ ref('int_registry__statuses') }} as statuses
        on versions.model_version = statuses.model_version
    where statuses.role = 'champion'

),

-- The training period ends at the latest backtest cutoff up to the champion's fit; at the latest of all
-- for a first model, and at the oldest for a champion older than all of them.
training as (

    select
        coalesce(
            max(
                case
                    when
                        cutoffs.cutoff_date
                        <= coalesce(champion.fitted_until, cutoffs.cutoff_date)
                        then cutoffs.cutoff_date
                end
            ),
            min(cutoffs.cutoff_date)
        ) as cutoff_date
    from cutoffs
    cross join champion
    where not cutoffs.is_production

),

candidates as (

    select
        'current' as period,
        cutoff_date
    from cutoffs
    where is_production

    union all

    select
        'training' as period,
        cutoff_date
    from training
    where cutoff_date is not null

    union all

    select
        'last_year' as period,
        cutoff_date
    from cutoffs
    where days_ago between 364 and 366

)

select
    period,
    max(cutoff_date) as cutoff_date
from candidates
group by 1
