-- grain: one row per delivered row of acquisition spend, and what becomes of it
select
    coalesce(lower(ad_spend.channel), 'unknown') as channel,
    {{ month_start('ad_spend.spend_date') }} as cohort_month,
    ad_spend.spend_amount,
    ad_spend.new_customers,
    case
        when ad_spend.spend_date is null then 'no_date'
        when ad_spend.spend_amount is null then 'no_amount'
        when ad_spend.spend_date > as_of.as_of_date then 'after_as_of_date'
        else 'counted'
    end as disposition
from {{ ref('stg_ad_spend') }} as ad_spend
cross join {{ ref('int_as_of') }} as as_of
