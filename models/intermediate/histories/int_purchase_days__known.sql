-- grain: one row per cutoff, customer and purchase day, as it was known at the cutoff
-- Customers on a plan have none at backtest cutoffs: renewals are no purchases at will, so nothing of the
-- purchase model is learned from them or compared with them.
select
    cutoffs.cutoff_date,
    cutoffs.is_production,
    purchase_days.customer_id,
    purchase_days.order_count,
    purchase_days.value_amount,
    purchase_days.is_purchase,
    listed.customer_id is not null as is_on_plan,
    purchase_days.purchase_date
from {{ ref('int_purchase_days') }} as purchase_days
inner join {{ ref('int_cutoffs') }} as cutoffs
    on {{ known_at('cutoffs.cutoff_date') }}
left join {{ ref('int_contracts__listed') }} as listed
    on
        purchase_days.customer_id = listed.customer_id
        and listed.billing_period_days is not null
where
    purchase_days.is_purchase
    and (cutoffs.is_production or listed.customer_id is null)
