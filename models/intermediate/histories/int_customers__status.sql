-- grain: one row per customer with a row in input customer_status, or who objects to profiling
-- A status is not a model feature: an erasure, a death, fraud and an objection to profiling suppress the
-- customer as soon as they are known, whatever the as-of date.
{%- set finals = ['erased', 'deceased', 'fraud'] %}
{%- set suppressed = shaped('clv_suppressed_statuses') %}
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

identities as (

    select
        identifier,
        customer_id
    from {{ ref('int_identities__resolved') }}

),

buyers as (

    select
        customer_id,
        last_purchase_date
    from {{ ref('int_customers__current') }}

),

statuses as (

    select
        coalesce(identities.customer_id, stated.user_id) as customer_id,
        stated.status,
        stated.effective_at,
        {{ local_date('stated.effective_at') }} as status_date,
        stated.status in (
            {%- for status in suppressed %}
            '{{ status }}',
            {%- endfor %}
            ''
        ) as is_suppressing,
        stated.status in (
            {%- for status in finals | select('in', suppressed) %}
            '{{ status }}',
            {%- endfor %}
            ''
        ) as is_final
    from {{ ref('stg_customer_status') }} as stated
    left join identities
        on stated.user_id = identities.identifier

),

known as (

    select
        statuses.*,
        max(
            case when not statuses.is_suppressing then statuses.effective_at end
        ) over (partition by statuses.customer_id) as lifted_at
    from statuses
    cross join as_of
    where
        statuses.customer_id is not null
        and statuses.status is not null
        and (
            statuses.is_final
            or statuses.status_date is null
            or statuses.status_date <= as_of.as_of_date
        )

),

-- Ranked by strength. A later status lifts fraud and every status that is not final, never an erasure or
-- a death; a purchase after the status date lifts a status that is not final.
judged as (

    select
        known.customer_id,
        known.status,
        known.status_date,
        known.effective_at,
        case
            when not known.is_suppressing then 5
            when known.is_final and known.status != 'fraud' then 1
            when known.is_final and known.effective_at is null then 2
            when known.effective_at is null and known.lifted_at is not null then 5
            when known.effective_at < known.lifted_at then 5
            when known.is_final then 2
            when buyers.last_purchase_date > known.status_date then 5
            else 3
        end as strength
    from known
    left join buyers
        on known.customer_id = buyers.customer_id

),

-- The latest answer of each user id on profiling; an objection without a time is permanent.
profiling as (

    select
        user_id,
        max(case when objects_to_profiling then updated_at end) as objected_at,
        max(case when not objects_to_profiling then updated_at end) as allowed_at,
        max(
            case when objects_to_profiling and updated_at is null then 1 else 0 end
        ) as objections_without_time
    from {{ ref('stg_consents') }}
    where objects_to_profiling is not null and user_id is not null
    group by 1

),

objections as (

    select
        coalesce(identities.customer_id, profiling.user_id) as customer_id,
        profiling.objected_at
    from profiling
    left join identities
        on profiling.user_id = identities.identifier
    where
        profiling.objections_without_time = 1
        or (
            profiling.objected_at is not null
            and coalesce(profiling.objected_at >= profiling.allowed_at, true)
        )

),

united as (

    select *
    from judged

    union all

    select
        customer_id,
        'objects_to_profiling' as status,
        {{ local_date('objected_at') }} as status_date,
        objected_at as effective_at,
        4 as strength
    from objections

),

latest as (

    select *
    from united
    qualify row_number() over (
        partition by customer_id
        order by
            strength asc,
            case when effective_at is null then 1 else 0 end asc,
            effective_at desc,
            status asc
    ) = 1

)

select
    customer_id,
    status,
    status_date,
    strength < 5 as is_suppressed
from latest
