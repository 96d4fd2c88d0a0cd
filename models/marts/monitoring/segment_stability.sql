-- grain: one row per segment, and for all: customers who were in it and those who left at this refresh
-- A move without a purchase or a status change is due to time passing or to the cut-points.
with customers as (

    select
        clv_segment,
        previous_segment,
        as_of_date,
        moved_by,
        coalesce(segment_since = as_of_date, false) as has_moved
    from {{ ref('customer_segments') }}
    where moved_by is not null

),

-- Customers first seen by this refresh had no segment before.
placed as (

    select
        as_of_date,
        case when has_moved then previous_segment else clv_segment end as segment,
        has_moved,
        has_moved and moved_by in ('inactivity', 'confirmation') as has_drifted
    from customers
    where not has_moved or moved_by != 'first'

),

counted as (

    {% for segment in ['segment', "'all'"] -%}
    select
        as_of_date,
        {{ segment }} as segment,
        count(*) as customers_before,
        sum(case when has_moved then 1 else 0 end) as customers_left,
        sum(case when has_drifted then 1 else 0 end) as customers_left_without_purchase
    from placed
    group by 1, 2
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

)

select
    segment,
    as_of_date,
    customers_before,
    cast(customers_left as {{ type_integer() }}) as customers_left,
    cast(customers_left_without_purchase as {{ type_integer() }})
        as customers_left_without_purchase,
    1.0 * customers_left_without_purchase / customers_before
        as rate_left_without_purchase
from counted
