-- Segments are exclusive and exhaustive: every customer has one, buyers one of the twelve or
-- suppressed, others 00_prospect, refunds_only or suppressed; the summary of a scheme has every
-- customer with a segment in it, and its shares add up to 1.
with schemes as (

    {% for scheme in ['clv', 'rfm'] -%}
    select
        '{{ scheme }}' as scheme,
        count(*) as customers
    from {{ ref('customer_segments') }}
    where {{ scheme }}_segment is not null
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

summaries as (

    select
        scheme,
        sum(customers) as customers,
        sum(share_of_customers) as share
    from {{ ref('segment_summary') }}
    group by 1

)

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
    or (customers.purchase_days = 0 or customer_segments.clv_segment = 'suppressed')
    != (customer_segments.rfm_segment is null)

union all

select
    schemes.scheme as customer_id,
    cast(summaries.share as {{ type_text() }}) as clv_segment
from schemes
left join summaries
    on schemes.scheme = summaries.scheme
where
    schemes.customers != coalesce(summaries.customers, 0)
    or (
        schemes.customers > 0
        and not coalesce(abs(summaries.share - 1) <= 1e-9, false)
    )
