-- grain: one row per thing that must not be old: transactions, features, parameters, scores
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

readiness as (

    select distinct is_forecast
    from {{ ref('int_readiness') }}
    where is_production

),

fitted as (

    select max(cutoff_date) as newest_date
    from {{ ref('int_purchases__parameters') }}

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

    -- Where forecasts are withheld nothing is fitted, and nothing is late.
    select
        'parameters' as subject,
        fitted.newest_date
    from fitted
    cross join readiness
    where readiness.is_forecast

    union all

    select
        'scores' as subject,
        max(as_of_date) as newest_date
    from {{ ref('customer_lifetime_value') }}

),

dated as (

    select
        newest.subject,
        newest.newest_date,
        {% if var('clv_now') is none -%}
        as_of.as_of_date as checked_date
        {%- else -%}
        cast('{{ var("clv_now") }}' as date) as checked_date
        {%- endif %}
    from newest
    cross join as_of

),

aged as (

    select
        *,
        {{ days_between('newest_date', 'checked_date') }} as age_days
    from dated

),

limits as (

    select
        warn_limit,
        fail_limit
    from {{ ref('alert_rules') }}
    where measure = 'age_days'

)

select
    aged.subject,
    aged.newest_date,
    aged.checked_date,
    aged.age_days,
    limits.warn_limit as warn_after_days,
    limits.fail_limit as fail_after_days,
    case
        -- What is not there is as old as can be.
        when coalesce(aged.age_days > limits.fail_limit, true) then 'fail'
        when aged.age_days > limits.warn_limit then 'warn'
        else 'ok'
    end as status
from aged
cross join limits
