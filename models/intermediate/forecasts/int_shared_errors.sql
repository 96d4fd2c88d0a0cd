-- grain: one row per level (total or cohort), cutoff and horizon: the error that customers of a group share
-- Season, price and model misfit move all customers together, which does not average out. Estimated as
-- the mean square of actual / expected - 1 over completed windows, less the variance of single customers,
-- shrunk towards a prior set on five open data sets (accuracy.md). A window's error is limited to 0.5:
-- the relative error of one with an expectation near zero has no bound.
{%- set prior_error, prior_windows = 0.12, 3 %}
with cohorts as (

    select *
    from {{ ref('int_cohorts__predicted') }}

),

cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}

),

predicted as (

    select
        'cohort' as group_level,
        cutoff_date,
        horizon_days,
        expected_value,
        value_variance,
        actual_value_amount
    from cohorts

    union all

    select
        'total' as group_level,
        cutoff_date,
        horizon_days,
        sum(expected_value) as expected_value,
        sum(value_variance) as value_variance,
        sum(actual_value_amount) as actual_value_amount
    from cohorts
    group by 1, 2, 3

),

errors as (

    select
        group_level,
        cutoff_date,
        horizon_days,
        expected_value,
        -- Less the variance expected by chance.
        (
            power(
                cast(actual_value_amount as {{ type_double() }}) - expected_value, 2
            )
            - value_variance
        ) / power(expected_value, 2) as squared_error
    from predicted
    where actual_value_amount is not null and expected_value >= 0.01

),

windows as (

    select
        group_level,
        cutoff_date,
        horizon_days,
        least(
            greatest(sum(expected_value * squared_error) / sum(expected_value), 0.0),
            0.25
        ) as squared_error
    from errors
    group by 1, 2, 3

),

-- Windows completed by each cutoff; those that overlap count as less than one each.
known as (

    select
        windows.group_level,
        cutoffs.cutoff_date,
        windows.horizon_days as learned_horizon_days,
        avg(windows.squared_error) as squared_error,
        least(
            count(*), 1 + {{ days_between(
                'min(windows.cutoff_date)', 'max(windows.cutoff_date)'
            ) }} / cast(windows.horizon_days as {{ type_double() }})
        ) as windows
    from windows
    inner join cutoffs
        on
            {{ add_days('windows.cutoff_date', 'windows.horizon_days') }}
            <= cutoffs.cutoff_date
    group by 1, 2, 3

),

wanted as (

    select distinct
        group_level,
        cutoff_date,
        horizon_days
    from predicted

),

-- A horizon without a completed window uses the longest one that has one.
sources as (

    select
        wanted.group_level,
        wanted.cutoff_date,
        wanted.horizon_days,
        max(known.learned_horizon_days) as learned_horizon_days
    from wanted
    left join known
        on
            wanted.group_level = known.group_level
            and wanted.cutoff_date = known.cutoff_date
            and wanted.horizon_days >= known.learned_horizon_days
    group by 1, 2, 3

)

select
    sources.group_level,
    sources.horizon_days,
    sources.learned_horizon_days,
    coalesce(known.windows, 0.0) as windows,
    {{ prior_windows }} + coalesce(known.windows, 0.0)
        as degrees_of_freedom,
    sqrt(
        (
            {{ prior_windows }}
            * power({{ prior_error }}, 2)
            + coalesce(known.windows * known.squared_error, 0.0)
        ) / ({{ prior_windows }} + coalesce(known.windows, 0.0))
    ) as shared_error,
    case when known.windows > 0 then 'calibrated' else 'prior' end as interval_source,
    sources.cutoff_date
from sources
left join known
    on
        sources.group_level = known.group_level
        and sources.cutoff_date = known.cutoff_date
        and sources.learned_horizon_days = known.learned_horizon_days
