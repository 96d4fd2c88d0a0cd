{#
    Inputs from GA4's export to BigQuery, as SQL by input: events purchase and refund. A transaction counts
    once, however often its event was sent, with ecommerce.purchase_revenue; as a line for each item where
    the items add up to it, else as one line. A refund is of the user who bought; without a value it is of
    the whole transaction.

    Args:
        place: database and schema of the tables.
#}
{% macro mapped_ga4(place) %}
    {%- set events = mapped_table(place, daily_table_name('events')) -%}
    {%- set transactions -%}
with events as (

    select
        event_name,
        event_timestamp,
        coalesce(user_id, user_pseudo_id) as user_id,
        nullif(nullif(trim(ecommerce.transaction_id), ''), '(not set)') as transaction_id,
        concat(
            'ga4-', coalesce(user_pseudo_id, user_id, ''), '-',
            cast(event_timestamp as {{ type_text() }})
        ) as event_id,
        ecommerce.purchase_revenue,
        ecommerce.refund_value,
        (
            select max(each_param.value.string_value)
            from {{ unnested('event_params', 'each_param') }}
            where each_param.key = 'currency'
        ) as currency,
        lower(platform) as channel,
        geo.country,
        items
    from {{ events }}
    where event_name in ('purchase', 'refund') and {{ daily_tables() }}

),

purchases as (

    select
        *,
        coalesce(transaction_id, event_id) as order_id
    from events
    where event_name = 'purchase'
    qualify row_number() over (
        partition by coalesce(transaction_id, event_id)
        order by event_timestamp
    ) = 1

),

item_lines as (

    select
        purchases.order_id,
        each_item.item_id as sku,
        each_item.item_category as category,
        sum(
            coalesce(each_item.item_revenue, each_item.price * coalesce(each_item.quantity, 1), 0)
        ) as amount
    from purchases
    cross join {{ unnested('purchases.items', 'each_item') }}
    group by purchases.order_id, sku, category

),

item_totals as (

    select
        order_id,
        sum(amount) as amount
    from item_lines
    group by order_id

),

orders as (

    select
        purchases.*,
        coalesce(purchases.purchase_revenue, item_totals.amount, 0) as amount,
        coalesce(
            abs(item_totals.amount - coalesce(purchases.purchase_revenue, item_totals.amount)) < 0.005, false
        ) as is_itemized
    from purchases
    left join item_totals
        on purchases.order_id = item_totals.order_id

),

-- The same event may be there twice, several refunds of a transaction are several events.
refunds as (

    select
        events.event_timestamp,
        events.currency,
        events.event_id,
        events.transaction_id,
        events.user_id,
        events.channel,
        events.country,
        coalesce(
            events.refund_value,
            (
                select sum(each_item.item_refund)
                from {{ unnested('events.items', 'each_item') }}
            )
        ) as refund_value
    from events
    where events.event_name = 'refund'
    qualify row_number() over (
        partition by coalesce(events.transaction_id, events.event_id), events.event_timestamp
        order by events.user_id
    ) = 1

),

united as (

    select
        orders.user_id,
        orders.event_timestamp,
        coalesce(item_lines.amount, orders.amount) as amount,
        orders.currency,
        orders.channel,
        item_lines.sku,
        item_lines.category,
        orders.country,
        false as is_refund,
        orders.order_id
    from orders
    left join item_lines
        on orders.order_id = item_lines.order_id and orders.is_itemized

    union all

    select
        coalesce(orders.user_id, refunds.user_id) as user_id,
        refunds.event_timestamp,
        -abs(coalesce(refunds.refund_value, orders.amount)) as amount,
        coalesce(refunds.currency, orders.currency) as currency,
        coalesce(orders.channel, refunds.channel) as channel,
        cast(null as {{ type_text() }}) as sku,
        cast(null as {{ type_text() }}) as category,
        coalesce(orders.country, refunds.country) as country,
        true as is_refund,
        coalesce(refunds.transaction_id, refunds.event_id) as order_id
    from refunds
    left join orders
        on refunds.transaction_id = orders.order_id
    where coalesce(refunds.refund_value, orders.amount) is not null

)

select
    user_id,
    {{ from_micros('event_timestamp') }} as ts,
    {{ as_money('amount') }} as amount,
    currency,
    channel,
    sku,
    category,
    country,
    is_refund,
    order_id
from united
    {%- endset -%}
    {%- set identities -%}
-- The devices on which a user was seen logged in.
select distinct
    user_id,
    user_pseudo_id as other_id
from {{ events }}
where user_id is not null and user_pseudo_id is not null and {{ daily_tables() }}
    {%- endset -%}
    {%- do return({'transactions': transactions, 'identities': identities}) -%}
{% endmacro %}
