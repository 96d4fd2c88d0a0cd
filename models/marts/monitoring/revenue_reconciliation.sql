-- grain: one row per disposition of transaction lines and delivered currency
-- Every line is in one row: delivered_amount adds up to the input's own total, and revenue_amount of
-- the counted rows to that of customers. Within a row they differ by sign and exchange rate alone.
-- A partly matched refund counts its line with the matched part; the unmatched part has no line.
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

-- How a refund was delivered; a negative amount whose flag is true or missing is the agreed form.
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

-- The unmatched amount of each refund, in full or in part.
set_aside as (

    select
        refund_id,
        max(case when is_matched then 1 else 0 end) as is_partly_matched,
        sum(case when is_matched then 0 else revenue_amount end) as revenue_amount
    from {{ ref('int_refunds__matched') }}
    group by 1
    having max(case when is_matched then 0 else 1 end) = 1

),

-- If a refund has lines of several dispositions or currencies, the unmatched amount is split by revenue.
parts as (

    select
        keyed.*,
        set_aside.is_partly_matched,
        cast(set_aside.revenue_amount as {{ type_double() }}) / cast(
            nullif(sum(keyed.revenue_amount) over (partition by keyed.refund_id), 0)
            as {{ type_double() }}
        ) as part_aside,
        sum(keyed.revenue_amount) over (
            partition by keyed.refund_id
            order by keyed.disposition, keyed.delivered_currency
            rows between unbounded preceding and current row
        ) as refund_amount_so_far
    from keyed
    left join set_aside
        on keyed.refund_id = set_aside.refund_id

),

split as (

    select
        *,
        case
            when is_partly_matched = 1
                then
                    {{ as_money('refund_amount_so_far * part_aside') }}
                    - {{ as_money(
                        '(refund_amount_so_far - revenue_amount) * part_aside'
                    ) }}
            else 0
        end as aside_revenue
    from parts

),

divided as (

    select
        *,
        case
            when delivered_amount = revenue_amount then -aside_revenue
            when delivered_amount = -revenue_amount then aside_revenue
            else
                {{ as_money('delivered_amount * cast(-aside_revenue as ' ~ type_double()
                    ~ ') / cast(nullif(revenue_amount, 0) as ' ~ type_double() ~ ')') }}
        end as aside_delivered
    from split

),

counted as (

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
            when is_partly_matched = 0 then 'unmatched_refund'
            else disposition
        end as disposition,
        delivered_currency,
        sum(line_count) as line_count,
        sum(delivered_amount - coalesce(aside_delivered, 0)) as delivered_amount,
        sum(revenue_amount + aside_revenue) as revenue_amount
    from divided
    group by 1, 2

    union all

    select
        'unmatched_refund' as disposition,
        delivered_currency,
        0 as line_count,
        sum(coalesce(aside_delivered, 0)) as delivered_amount,
        -sum(aside_revenue) as revenue_amount
    from divided
    where is_partly_matched = 1
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

happened as (

    select
        disposition,
        delivered_currency,
        sum(line_count) as line_count,
        sum(delivered_amount) as delivered_amount,
        sum(revenue_amount) as revenue_amount
    from counted
    group by 1, 2

),

-- Dispositions without lines in the project's currency are rows too, with zeros.
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
