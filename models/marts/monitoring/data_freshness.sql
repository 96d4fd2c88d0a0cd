-- grain: one row per monitored subject: transactions, features, parameters, scores
-- No subject can be newer than the transactions, whose usual age is learned from the gaps between days
-- with transactions. A fit may be as old as the interval between full runs.
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

-- The last year, whatever the currency.
months as (

    select
        loads.transaction_month,
        min(loads.first_transaction_date) as first_date,
        max(loads.last_transaction_date) as last_date,
        max(loads.active_days) as active_days
    from {{ ref('int_loads__checked') }} as loads
    inner join as_of
        on loads.transaction_month >= {{ add_days('as_of.as_of_date', -366) }}
    where loads.active_days is not null
    group by 1

),

gaps as (

    select
        first_date,
        last_date,
        active_days,
        {{ days_between('first_date', 'last_date') }}
        / nullif(active_days - 1.0, 0) as mean_gap,
        {{ days_between(
            'lag(last_date) over (order by transaction_month)', 'first_date'
        ) }} as gap_before
    from months

),

observed as (

    select
        greatest(coalesce(max(mean_gap), 1), coalesce(max(gap_before), 1))
            as longest_gap,
        sum(active_days) * 1.0
        / ({{ days_between('min(first_date)', 'max(last_date)') }} + 1) as active_share
    from gaps

),

-- The lesser of two, so that one interruption of a shop that sells daily does not count as usual.
usual as (

    select
        greatest(
            1,
            coalesce(least(longest_gap, {{ likely_gap('active_share') }} / 2), 1)
        ) as gap_days
    from observed

),

champion_fits as (

    select max(parameters.fitted_until) as newest_date
    from {{ ref('int_serving') }} as serving
    inner join {{ source('clv_state', 'registry_parameters') }} as parameters
        on serving.model_version = parameters.model_version
    where serving.status = 'champion'

),

newest as (

    select
        'transactions' as subject,
        max(last_transaction_date) as newest_date
    from {{ ref('int_loads__checked') }}

    union all

    select
        'features' as subject,
        max(cutoff_date) as newest_date
    from {{ ref('int_cutoffs') }}

    union all

    -- Of the version that serves, as the newest may have been rejected. Null with forecasts withheld:
    -- nothing is fitted, so nothing is late.
    select
        'parameters' as subject,
        max(champion_fits.newest_date) as newest_date
    from {{ ref('int_readiness') }} as readiness
    cross join champion_fits
    where readiness.is_production and readiness.is_forecast
    group by 1

    union all

    -- Right after a rollback all buyers, or those served by one of two versions, have scores of an
    -- earlier run.
    select
        'scores' as subject,
        coalesce(
            min(case when first_purchase_date is not null then scored_on end),
            max(as_of_date)
        ) as newest_date
    from {{ ref('customer_lifetime_value') }}

),

dated as (

    select
        newest.subject,
        newest.newest_date,
        {% if var('clv_now') is none -%}
        as_of.as_of_date as checked_date,
        {%- else -%}
        cast('{{ var("clv_now") }}' as date) as checked_date,
        {%- endif %}
        cast(
            case
                when newest.subject = 'parameters'
                    then {{ var('clv_days_between_full_runs') }}
                else usual.gap_days
            end as {{ type_double() }}
        ) as usual_days
    from newest
    cross join as_of
    cross join usual

),

aged as (

    select
        *,
        {{ days_between('newest_date', 'checked_date') }} as age_days
    from dated

),

rules as (

    select
        measure,
        warn_limit,
        fail_limit
    from {{ ref('alert_rules') }}

),

limited as (

    select
        aged.*,
        rules.warn_limit * aged.usual_days as warn_after_days,
        rules.fail_limit * aged.usual_days as fail_after_days
    from aged
    left join rules
        on
            rules.measure
            = case when aged.subject = 'parameters' then 'fit_age' else 'data_age' end

)

select
    subject,
    newest_date,
    checked_date,
    age_days,
    usual_days,
    warn_after_days,
    fail_after_days,
    case
        -- A missing subject fails.
        when age_days is null or age_days > fail_after_days then 'fail'
        when age_days > warn_after_days then 'warn'
        else 'ok'
    end as status
from limited
