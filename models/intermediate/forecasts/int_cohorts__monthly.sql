-- grain: one row per cutoff, month of first purchase and month with a purchase, as known at the cutoff
select
    {{ month_start('histories.first_purchase_date') }} as cohort_month,
    {{ month_start('known.purchase_date') }} as period_month,
    count(distinct known.customer_id) as active_customers,
    {{ as_money('sum(known.value_amount)') }} as value_amount,
    known.cutoff_date
from {{ ref('int_purchase_days__known') }} as known
inner join {{ ref('int_histories__observed') }} as histories
    on
        known.customer_id = histories.customer_id
        and known.cutoff_date = histories.cutoff_date
group by 1, 2, 5
