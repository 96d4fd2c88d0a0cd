-- grain: one row per cutoff: the as-of date and, but for a daily run, the backtest cutoffs before it
with as_of as (

    select
        as_of_date,
        first_transaction_date
    from {{ ref('int_as_of') }}

),

candidates as (

    select
        as_of_date as cutoff_date,
        as_of_date,
        first_transaction_date,
        true as is_production
    from as_of
    {%- for days in shaped('clv_backtest_days') if not is_daily() %}

    union all

    {%- set cutoff = add_days('as_of_date', -days) %}
    select
        {#- Of a monthly log the last end of a month by then. #}
        {{
            add_days(month_start(add_days(cutoff, 1)), -1) if is_monthly()
            else cutoff
        }} as cutoff_date,
        as_of_date,
        first_transaction_date,
        false as is_production
    from as_of
    {%- endfor %}

)

select
    is_production,
    cutoff_date,
    as_of_date
from candidates
where
    is_production
    or {{ days_between('first_transaction_date', 'cutoff_date') }}
    >= {{ var('clv_min_history_days') }}
