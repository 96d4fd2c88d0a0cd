-- Segments are exclusive and exhaustive: every customer has one, buyers one of the twelve or
-- suppressed, others 00_prospect, refunds_only or suppressed; shares of a scheme add up to 1.
select
    customers.customer_id,
    customer_segments.clv_segment
from {{ ref('customers') }} as customers
full outer join {{ ref('customer_segments') }} as customer_segments
    on customers.customer_id = customer_segments.customer_id
where
    customers.customer_id is null
    or customer_segments.clv_segment is null
    or customer_segments.clv_segment != 'suppressed'
    and (customers.purchase_days = 0)
    != (customer_segments.clv_segment in ('00_prospect', 'refunds_only'))
    or (customers.purchase_days = 0) != (customer_segments.rfm_segment is null)

union all

select
    scheme as customer_id,
    cast(sum(share_of_customers) as {{ type_text() }}) as clv_segment
from {{ ref('segment_summary') }}
group by 1
having abs(sum(share_of_customers) - 1) > 1e-9
