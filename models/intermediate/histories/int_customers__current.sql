-- grain: one row per customer who has bought: their history as of the as-of date
select
    histories.customer_id,
    histories.purchase_days,
    histories.frequency,
    histories.recency_days,
    histories.age_days,
    histories.order_count,
    histories.value_amount,
    histories.mean_value,
    {{ days_between('histories.last_purchase_date', 'histories.cutoff_date') }}
        as days_since_last_purchase,
    histories.first_purchase_date,
    histories.last_purchase_date,
    histories.cutoff_date as as_of_date
from {{ ref('int_histories__observed') }} as histories
inner join {{ ref('int_cutoffs') }} as cutoffs
    on histories.cutoff_date = cutoffs.cutoff_date
where
    cutoffs.is_production
    and {{ at_as_of('histories.cutoff_date') }}
