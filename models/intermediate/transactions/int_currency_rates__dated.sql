-- grain: one row per currency and span of days in which one rate holds
select
    upper(currency) as currency,
    rate,
    valid_from,
    lead(valid_from) over (
        partition by upper(currency)
        order by valid_from
    ) as valid_until
from {{ ref('currency_rates') }}
