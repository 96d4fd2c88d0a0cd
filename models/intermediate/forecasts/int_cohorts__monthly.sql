-- grain: one row per cutoff, month of first purchase and month with a purchase, as known at the cutoff
select
    {{ month_start('histories.first_purchase_date') }} as cohort_month,
    {{ month_start('known.purchase_date') }} as period_month,
    count(distinct known.customer_id) as active_customers,
    {{ as_money('sum(known.value_amount)') }} as value_amount,
    -- What earlier forecasts, of customers without a plan, are compared with.
    count(distinct case when not histories.is_on_plan then known.customer_id end)
        as active_customers_without_plan,
    {{ as_money(
        'sum(case when not histories.is_on_plan then known.value_amount end)'
    ) }} as value_amount_without_plan,
    known.cutoff_date
from {{ ref('int_purchase_days__known') }} as known
inner join {{ ref('int_histories__observed') }} as histories
    on
        known.customer_id = histories.customer_id
        and known.cutoff_date = histories.cutoff_date
group by 1, 2, 7
