-- grain: one row per thing that can happen to a transaction line, and delivered currency
-- Every line is in one row: delivered_amount adds up to the input's own total, and revenue_amount of
-- the counted rows to that of customers. Within a row they differ by sign and exchange rate alone.
{%- set dispositions = {
    'purchase': true, 'refund': true, 'refund_delivered_positive': true, 'negative_sale': true,
    'unmatched_refund': false, 'duplicate': false, 'no_user': false, 'after_as_of': false,
} %}
with as_of as (

    select currency
    from {{ ref('int_as_of') }}

),

lines as (

    select
        resolved.*,
        coalesce(resolved.currency, as_of.currency, '') as delivered_currency
    from {{ ref('int_transactions__resolved') }} as resolved
    cross join as_of

),

-- How a refund was delivered; one that says nothing but a negative amount is one as agreed.
refunds as (

    select
        customer_id,
        order_id,
        transaction_date,
        delivered_currency,
        case
            when is_flagged_refund and delivered_amount > 0
                then 'refund_delivered_positive'
            when not is_flagged_refund then 'negative_sale'
            else 'refund'
        end as disposition,
        sum(line_count) as line_count,
        sum(delivered_amount * line_count) as delivered_amount,
        sum(revenue_amount) as revenue_amount
    from lines
    where is_counted and is_refund
    group by 1, 2, 3, 4, 5

),

keyed as (

    select
        {{ surrogate_key(['customer_id', 'order_id', 'transaction_date']) }}
            as refund_id,
        disposition,
        delivered_currency,
        line_count,
        delivered_amount,
        revenue_amount
    from refunds

),

happened as (

    select
        case
            when is_counted then 'purchase'
            when customer_id is null then 'no_user'
            else 'after_as_of'
        end as disposition,
        delivered_currency,
        sum(line_count) as line_count,
        sum(delivered_amount * line_count) as delivered_amount,
        sum(revenue_amount) as revenue_amount
    from lines
    where not (is_counted and is_refund)
    group by 1, 2

    union all

    select
        case
            when matched.is_matched then keyed.disposition
            else 'unmatched_refund'
        end as disposition,
        keyed.delivered_currency,
        sum(keyed.line_count) as line_count,
        sum(keyed.delivered_amount) as delivered_amount,
        sum(keyed.revenue_amount) as revenue_amount
    from keyed
    left join {{ ref('int_refunds__matched') }} as matched
        on keyed.refund_id = matched.refund_id
    group by 1, 2

    union all

    select
        'duplicate' as disposition,
        delivered_currency,
        sum(duplicate_count) as line_count,
        sum(delivered_amount * duplicate_count) as delivered_amount,
        sum(duplicate_amount) as revenue_amount
    from lines
    where duplicate_count > 0
    group by 1, 2

),

-- What did not happen in the project's currency is a row too, with zeros.
possible as (

    {% for disposition in dispositions -%}
    select
        '{{ disposition }}' as disposition,
        coalesce(currency, '') as delivered_currency
    from as_of
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

)

select
    coalesce(happened.disposition, possible.disposition) as disposition,
    coalesce(happened.delivered_currency, possible.delivered_currency) as currency,
    coalesce(happened.disposition, possible.disposition) in (
        {%- for disposition in dispositions if dispositions[disposition] %}
        '{{ disposition }}'{{ ',' if not loop.last }}
        {%- endfor %}
    ) as is_counted,
    cast(coalesce(happened.line_count, 0) as {{ type_integer() }}) as line_count,
    {{ as_money('coalesce(happened.delivered_amount, 0)') }} as delivered_amount,
    {{ as_money('coalesce(happened.revenue_amount, 0)') }} as revenue_amount,
    as_of.currency as revenue_currency
from possible
full outer join happened
    on
        possible.disposition = happened.disposition
        and possible.delivered_currency = happened.delivered_currency
cross join as_of
