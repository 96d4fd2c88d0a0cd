-- A line in a currency without a rate on its day cannot be valued: add the rate to
-- seeds/reference/currency_rates.csv. Guards every sum of revenue downstream; the lines of a daily run are
-- judged before it by int_loads__checked alone.
{{ config(tags=['full_run']) }}
select
    currency,
    min(transaction_date) as first_day,
    max(transaction_date) as last_day,
    count(*) as lines
from {{ ref('int_transactions__resolved') }}
where delivered_amount is not null and revenue_amount is null
group by 1
