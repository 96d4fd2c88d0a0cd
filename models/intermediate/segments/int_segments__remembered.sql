-- grain: one row per log, customer and refresh at which the customer's stored segment changed
-- State: it survives --full-refresh. A refresh is compared with the segments stored before its as-of
-- date, and its own rows are replaced, so a second build changes nothing. Rows of other logs and of later
-- days are ignored (int_logs). Only changes and moves that wait for confirmation are stored, so a customer
-- who stays adds no row.
{{ config(
    materialized='incremental',
    full_refresh=false,
    incremental_strategy='merge',
    unique_key=['log_id', 'customer_id', 'refreshed_on'],
    on_schema_change='fail',
) }}
{%- set confirming_refreshes = 2 %}
{#- Tier of each segment that the exit band holds. #}
{%- set held_tiers = {
    '01_top_outlier': 3, '02_loyal_vip': 3, '03_notable_loyal': 2, '06_valuable_repeater': 1,
} %}
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

customers as (

    select *
    from {{ ref('int_segments__ruled') }}
    where is_production and {{ at_as_of('cutoff_date') }}

),

remembered as (

    {% if is_incremental() -%}
    select
        memory.*,
        as_of.as_of_date
    from {{ this }} as memory
    {{ seen('memory', 'refreshed_on') | indent(4) }}
    cross join as_of
    {%- else -%}
    select
        customer_id,
        segment,
        segment as pending_segment,
        1 as pending_refreshes,
        segment as previous_segment,
        segment as moved_by,
        purchase_days,
        cutoff_date as segment_since,
        cutoff_date as refreshed_on,
        cutoff_date as as_of_date
    from customers
    where false
    {%- endif %}

),

latest as (

    select *
    from remembered
    where refreshed_on < as_of_date
    qualify row_number() over (
        partition by customer_id
        order by refreshed_on desc
    ) = 1

),

-- Rows that this build replaces.
current_rows as (

    select customer_id
    from remembered
    where refreshed_on = as_of_date

),

banded as (

    select
        customers.customer_id,
        customers.is_suppressed,
        customers.purchase_days,
        -- A longer inactivity window does not move a customer out of hibernating who would soon return.
        case
            when
                customers.stays_hibernating
                and latest.segment in ('05_hibernating_loyal', '11_hibernator')
                and latest.purchase_days = customers.purchase_days
                then 'hibernating'
            else customers.state
        end as state,
        customers.is_historically_valuable,
        customers.is_outlier,
        -- Hysteresis: a tier is entered at its cut-point and left only below the exit band.
        greatest(
            customers.tier,
            least(
                customers.kept_tier,
                case latest.segment
                    {%- for segment, tier in held_tiers.items() %}
                    when '{{ segment }}' then {{ tier }}
                    {%- endfor %}
                    else 0
                end
            )
        ) as tier,
        customers.is_promising
        or (
            customers.stays_promising
            and coalesce(latest.segment = '12_promising_new', false)
        ) as is_promising
    from customers
    left join latest
        on customers.customer_id = latest.customer_id

),

candidates as (

    select
        customer_id,
        state,
        purchase_days,
        {{ clv_segment() | indent(8) }} as segment
    from banded

),

-- Stored customers too: all purchases may have been refunded, or the id merged into another customer.
known as (

    select customer_id
    from candidates

    union distinct

    select customer_id
    from latest

    union distinct

    select customer_id
    from current_rows

),

compared as (

    select
        known.customer_id,
        coalesce(candidates.segment, '00_prospect') as candidate,
        coalesce(candidates.purchase_days, 0) as purchase_days,
        case
            when candidates.customer_id is null then 'purchase'
            when latest.customer_id is null then 'first'
            when
                candidates.segment = 'suppressed'
                or (
                    latest.segment = 'suppressed'
                    and candidates.purchase_days = latest.purchase_days
                )
                then 'status'
            when candidates.purchase_days != latest.purchase_days then 'purchase'
            when candidates.state = 'hibernating' then 'inactivity'
            when
                {{ confirming_refreshes }} <= 1
                + case
                    when candidates.segment = latest.pending_segment
                        then latest.pending_refreshes
                    else 0
                end
                then 'confirmation'
        end as mover,
        case
            when candidates.segment = latest.pending_segment
                then latest.pending_refreshes
            else 0
        end + 1 as candidate_refreshes,
        latest.segment as held_segment,
        latest.pending_segment as held_pending_segment,
        latest.previous_segment as held_previous_segment,
        latest.moved_by as held_moved_by,
        latest.purchase_days as held_purchase_days,
        latest.segment_since as held_since,
        current_rows.customer_id is not null as is_replaced
    from known
    left join candidates
        on known.customer_id = candidates.customer_id
    left join latest
        on known.customer_id = latest.customer_id
    left join current_rows
        on known.customer_id = current_rows.customer_id

),

judged as (

    select
        *,
        held_segment is null or (candidate != held_segment and mover is not null)
            as has_moved,
        held_segment is not null and candidate != held_segment and mover is null
            as is_pending
    from compared

)

select
    judged.customer_id,
    case when judged.has_moved then judged.candidate else judged.held_segment end
        as segment,
    case when judged.is_pending then judged.candidate end as pending_segment,
    case when judged.is_pending then judged.candidate_refreshes end
        as pending_refreshes,
    case
        when judged.has_moved then judged.held_segment
        else judged.held_previous_segment
    end as previous_segment,
    case when judged.has_moved then judged.mover else judged.held_moved_by end
        as moved_by,
    judged.purchase_days,
    case when judged.has_moved then as_of.as_of_date else judged.held_since end
        as segment_since,
    as_of.as_of_date as refreshed_on,
    logs.log_id
from judged
cross join as_of
cross join {{ ref('int_logs') }} as logs
where
    logs.is_current
    and (
        judged.has_moved
        or judged.is_replaced
        or judged.purchase_days != judged.held_purchase_days
        or judged.is_pending
        or judged.held_pending_segment is not null
    )
