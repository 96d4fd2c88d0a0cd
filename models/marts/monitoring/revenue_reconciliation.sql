-- grain: one row per thing that can happen to a transaction line
{%- set dispositions = [
    'purchase', 'refund', 'unmatched_refund', 'duplicate', 'no_user', 'after_as_of',
] %}
with lines as (

    select *
    from {{ ref('int_transactions__resolved') }}

),

happened as (

    select
        case
            when is_counted then 'purchase'
            when customer_id is null then 'no_user'
            else 'after_as_of'
        end as disposition,
        sum(line_count) as line_count,
        sum(revenue_amount) as revenue_amount
    from lines
    where not (is_counted and is_refund)
    group by 1

    union all

    select
        case when is_matched then 'refund' else 'unmatched_refund' end as disposition,
        sum(line_count) as line_count,
        -sum(revenue_amount) as revenue_amount
    from {{ ref('int_refunds__matched') }}
    group by 1

    union all

    select
        'duplicate' as disposition,
        sum(duplicate_count) as line_count,
        sum(duplicate_amount) as revenue_amount
    from lines

),

-- What did not happen is a row too, with zeros.
possible as (

    {% for disposition in dispositions -%}
    select
        '{{ disposition }}' as disposition,
        {{ 'true' if loop.index <= 2 else 'false' }} as is_counted
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

)

select
    possible.disposition,
    possible.is_counted,
    cast(coalesce(happened.line_count, 0) as {{ type_integer() }}) as line_count,
    {{ as_money('coalesce(happened.revenue_amount, 0)') }} as revenue_amount
from possible
left join happened
    on possible.disposition = happened.disposition
