-- Customers who end a month in a segment start the next one in it, and the last month ends with the
-- buyers of customer_segments.
with transitions as (

    select *
    from {{ ref('segment_transitions') }}

),

ends as (

    select
        {{ add_months('month', 1) }} as month,
        to_segment as segment,
        sum(customers) as customers
    from transitions
    group by 1, 2

),

starts as (

    select
        month,
        from_segment as segment,
        sum(customers) as customers
    from transitions
    where from_segment != 'new'
    group by 1, 2

    union all

    select
        {{ add_months(month_start('segments.as_of_date'), 1) }} as month,
        segments.clv_segment as segment,
        count(*) as customers
    from {{ ref('customer_segments') }} as segments
    inner join {{ ref('int_customers__current') }} as buyers
        on segments.customer_id = buyers.customer_id
    group by 1, 2

)

select
    coalesce(ends.month, starts.month) as month,
    coalesce(ends.segment, starts.segment) as segment,
    ends.customers as customers_at_the_end,
    starts.customers as customers_at_the_next_start
from ends
full outer join starts
    on
        ends.month = starts.month
        and ends.segment = starts.segment
cross join {{ ref('int_as_of') }} as as_of
where
    coalesce(ends.customers, 0) != coalesce(starts.customers, 0)
    -- Customers without purchases left are prospects again, and not buyers.
    and not (
        coalesce(ends.segment, starts.segment) = '00_prospect'
        and coalesce(ends.month, starts.month)
        = {{ add_months(month_start('as_of.as_of_date'), 1) }}
    )
