-- grain: one row per month and CLV segment
{%- set flows = ['new', 'returned', 'moved_in', 'lapsed', 'moved_out'] %}
{%- set asleep = "in ('05_hibernating_loyal', '11_hibernator')" %}
{#- Suppressed customers, and those whose purchases were all refunded, neither return nor lapse. -#}
{%- set awake = "not in "
    ~ "('05_hibernating_loyal', '11_hibernator', '00_prospect', 'suppressed')" %}
with transitions as (

    select *
    from {{ ref('segment_transitions') }}

),

flows as (

    select
        month,
        to_segment as segment,
        case
            when from_segment = to_segment then 'stayed'
            when from_segment = 'new' then 'new'
            when from_segment {{ asleep }} and to_segment {{ awake }} then 'returned'
            else 'moved_in'
        end as flow,
        customers,
        is_truncated
    from transitions

    union all

    select
        month,
        from_segment as segment,
        case
            when to_segment {{ asleep }} and from_segment {{ awake }} then 'lapsed'
            else 'moved_out'
        end as flow,
        customers,
        is_truncated
    from transitions
    where from_segment != to_segment and from_segment != 'new'

),

summed as (

    select
        month,
        segment,
        is_truncated,
        {%- for flow in flows %}
        sum(case when flow = '{{ flow }}' then customers else 0 end)
            as {{ flow }}_customers,
        {%- endfor %}
        sum(case when flow = 'stayed' then customers else 0 end) as stayed_customers
    from flows
    group by 1, 2, 3

)

select
    month,
    segment,
    cast(
        stayed_customers + lapsed_customers + moved_out_customers
        as {{ type_integer() }}
    ) as customers_before,
    {%- for flow in flows %}
    cast({{ flow }}_customers as {{ type_integer() }}) as {{ flow }}_customers,
    {%- endfor %}
    cast(
        stayed_customers + new_customers + returned_customers + moved_in_customers
        as {{ type_integer() }}
    ) as customers,
    is_truncated
from summed
