-- Each customer of segment_transitions starts in one segment and ends in one: so do those of
-- segment_growth, where each segment is what it was with its flows.
with starts as (

    select
        month,
        from_segment as segment,
        sum(customers) as customers
    from {{ ref('segment_transitions') }}
    where from_segment != 'new'
    group by 1, 2

),

ends as (

    select
        month,
        to_segment as segment,
        sum(customers) as customers
    from {{ ref('segment_transitions') }}
    group by 1, 2

),

growth as (

    select *
    from {{ ref('segment_growth') }}

)

select
    growth.month,
    growth.segment,
    growth.customers_before,
    starts.customers as customers_at_the_start,
    growth.customers,
    ends.customers as customers_at_the_end
from growth
left join starts
    on
        growth.month = starts.month
        and growth.segment = starts.segment
left join ends
    on
        growth.month = ends.month
        and growth.segment = ends.segment
where
    growth.customers_before != coalesce(starts.customers, 0)
    or growth.customers != coalesce(ends.customers, 0)
    or growth.customers
    != growth.customers_before + growth.new_customers + growth.returned_customers
    + growth.moved_in_customers - growth.lapsed_customers - growth.moved_out_customers
