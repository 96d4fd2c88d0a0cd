-- grain: one row per customer who has bought and is not to be left alone
select
    customers.customer_id,
    customers.as_of_date,
    customers.days_since_last_purchase,
    customers.purchase_days,
    customers.value_amount,
    scores.recency_score,
    scores.frequency_score,
    scores.monetary_score,
    scores.frequency_monetary_score,
    scores.segment
from {{ ref('int_customers__current') }} as customers
inner join {{ ref('int_customers__rfm_scored') }} as scores
    on
        customers.customer_id = scores.customer_id
        and customers.as_of_date = scores.cutoff_date
left join {{ ref('int_customers__status') }} as statuses
    on customers.customer_id = statuses.customer_id
where
    {{ at_as_of('scores.cutoff_date') }}
    and not coalesce(statuses.is_suppressed, false)
