-- grain: one row per day, from the first transaction to the as-of date
with as_of as (

    select
        first_transaction_date,
        as_of_date
    from {{ ref('int_as_of') }}

),

numbers as (

    select number
    from {{ number_series(
        '(select max(' ~ days_between('first_transaction_date', 'as_of_date')
        ~ ') from as_of)'
    ) }} as series

)

select
    {{ add_days('as_of.first_transaction_date', 'numbers.number') }} as calendar_date,
    {{ month_start(add_days('as_of.first_transaction_date', 'numbers.number')) }}
        as calendar_month
from as_of
cross join numbers
