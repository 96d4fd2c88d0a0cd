-- grain: one row per period that is compared: the current one and those it is compared with
with cutoffs as (

    select
        is_production,
        cutoff_date,
        {{ days_between('cutoff_date', 'as_of_date') }} as days_ago
    from {{ ref('int_cutoffs') }}

),

candidates as (

    select
        case when is_production then 'current' else 'training' end as period,
        cutoff_date
    from cutoffs

    union all

    select
        'last_year' as period,
        cutoff_date
    from cutoffs
    where days_ago between 364 and 366

)

-- What the champion was trained on: until the registry says so, the newest backtest cutoff.
select
    period,
    max(cutoff_date) as cutoff_date
from candidates
group by 1
