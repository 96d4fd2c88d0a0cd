-- grain: one row per customer, buyer or not
with customers as (

    select
        customer_id,
        as_of_date,
        is_suppressed,
        clv_source = 'withheld' as is_withheld
    from {{ ref('customer_lifetime_value') }}

),

profiled as (

    select
        customer_id,
        first_seen_date,
        has_refunds_only
    from {{ ref('int_customers__profiled') }}

),

statuses as (

    select
        customer_id,
        status_date
    from {{ ref('int_customers__status') }}

),

rfm as (

    select
        customer_id,
        segment
    from {{ ref('customer_rfm') }}

),

ruled as (

    select
        customer_id,
        segment
    from {{ ref('int_segments__ruled') }}
    where is_production and {{ at_as_of('cutoff_date') }}

),

remembered as (

    select memory.*
    from {{ ref('int_segments__remembered') }} as memory
    {{ seen('memory', 'refreshed_on') | indent(4) }}

),

latest as (

    select *
    from remembered
    qualify row_number() over (
        partition by customer_id
        order by refreshed_on desc
    ) = 1

),

placed as (

    select
        customers.customer_id,
        customers.as_of_date,
        rfm.segment as rfm_segment,
        customers.is_withheld and ruled.customer_id is not null as lacks_tier,
        case
            when ruled.customer_id is not null
                then coalesce(latest.segment, ruled.segment)
            when customers.is_suppressed then 'suppressed'
            when profiled.has_refunds_only then 'refunds_only'
            else '00_prospect'
        end as clv_segment,
        case
            when ruled.customer_id is not null
                then coalesce(latest.segment_since, customers.as_of_date)
            -- An erasure, for example, takes effect before its date.
            when customers.is_suppressed and statuses.status_date > customers.as_of_date
                then customers.as_of_date
            when customers.is_suppressed
                then coalesce(statuses.status_date, profiled.first_seen_date)
            else profiled.first_seen_date
        end as segment_since,
        latest.previous_segment,
        latest.moved_by,
        latest.pending_segment,
        ruled.segment as ruled_segment
    from customers
    inner join profiled
        on customers.customer_id = profiled.customer_id
    left join rfm
        on customers.customer_id = rfm.customer_id
    left join ruled
        on customers.customer_id = ruled.customer_id
    left join latest
        on customers.customer_id = latest.customer_id
    left join statuses
        on customers.customer_id = statuses.customer_id

)

select
    placed.customer_id,
    placed.as_of_date,
    placed.rfm_segment,
    placed.clv_segment,
    segments.label,
    placed.segment_since,
    placed.previous_segment,
    placed.moved_by,
    placed.pending_segment,
    concat(
        {{ clv_segment_reason('placed.clv_segment') | indent(8) }},
        case
            when placed.pending_segment is not null
                then concat('; waits for confirmation as ', placed.pending_segment)
            when placed.clv_segment != placed.ruled_segment
                then '; kept by the exit band'
            else ''
        end,
        case when placed.lacks_tier then '; without a forecast no tier' else '' end
    ) as why,
    segments.next_best_action,
    segments.is_contactable
from placed
left join {{ ref('clv_segments') }} as segments
    on placed.clv_segment = segments.clv_segment
