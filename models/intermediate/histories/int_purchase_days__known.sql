-- grain: one row per cutoff, customer and purchase day, as it was known at the cutoff
select
    cutoffs.cutoff_date,
    cutoffs.is_production,
    purchase_days.customer_id,
    purchase_days.order_count,
    purchase_days.value_amount,
    purchase_days.is_purchase,
    purchase_days.purchase_date
from {{ ref('int_purchase_days') }} as purchase_days
inner join {{ ref('int_cutoffs') }} as cutoffs
    on {{ known_at('cutoffs.cutoff_date') }}
where purchase_days.is_purchase
