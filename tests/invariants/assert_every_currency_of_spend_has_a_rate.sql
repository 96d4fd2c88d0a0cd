-- Spend in a currency without a rate on its day cannot be compared with customers' value: add the
-- rate to seeds/reference/currency_rates.csv, or name the project's currency in var clv_currency where
-- the log of transactions names none. Guards channel_economics.
select
    currency,
    min(cohort_month) as first_month,
    max(cohort_month) as last_month,
    sum(row_count) as row_count
from {{ ref('int_ad_spend__resolved') }}
where disposition = 'no_rate'
group by 1
