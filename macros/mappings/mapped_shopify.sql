{#
    Inputs from the tables of Fivetran's Shopify connector, as SQL by input. A line is price times
    quantity less its discounts, with tax where the shop's prices include it, without shipping. Left out:
    test, cancelled, voided and deleted orders, and gift cards. A refund is its lines and its
    adjustments, but for shipping.

    Args:
        place: database and schema of the tables.
        is_graphql: whether the connector has the columns of Shopify's GraphQL API.
#}
{% macro mapped_shopify(place, is_graphql=false) %}
    {%- set named = {
        'currency': 'currency', 'financial_status': 'financial_status', 'price': 'price',
        'gift_card': 'gift_card', 'allocated': 'amount', 'subtotal': 'subtotal', 'adjusted': 'amount',
        'refunded_at': 'coalesce(refunds.processed_at, refunds.created_at)', 'is_shipping': "kind = 'shipping_refund'",
    } if not is_graphql else {
        'currency': 'currency_code', 'financial_status': 'display_financial_status',
        'price': 'original_unit_price_set_shop_amount', 'gift_card': 'is_gift_card',
        'allocated': 'allocated_amount_set_shop_amount', 'subtotal': 'subtotal_set_shop_amount',
        'adjusted': 'amount_set_shop_amount', 'refunded_at': 'refunds.created_at', 'is_shipping': 'false',
    } -%}
    {%- set transactions -%}
with orders as (

    select
        id,
        coalesce(cast(customer_id as {{ type_text() }}), {{ guest_id('email') }}) as user_id,
        coalesce(processed_at, created_at) as ordered_at,
        {{ named.currency }} as currency,
        source_name as channel,
        shipping_address_country_code as country
    from {{ mapped_table(place, 'order') }}
    where
        not coalesce(_fivetran_deleted, false)
        and not coalesce(test, false)
        and cancelled_at is null
        and lower(coalesce({{ named.financial_status }}, '')) != 'voided'

),

lines as (

    select
        id,
        order_id,
        sku,
        {{ named.price }} * quantity as price
    from {{ mapped_table(place, 'order_line') }}
    where not coalesce({{ named.gift_card }}, false)

),

discounts as (

    select
        order_line_id,
        sum({{ named.allocated }}) as discount
    from {{ mapped_table(place, 'discount_allocation') }}
    group by order_line_id

),

sales as (

    select
        lines.order_id,
        lines.sku,
        sum(lines.price - coalesce(discounts.discount, 0)) as amount,
        sum(coalesce(discounts.discount, 0)) as discount_amount
    from lines
    left join discounts
        on lines.id = discounts.order_line_id
    group by lines.order_id, lines.sku

),

refunded as (

    select
        line_refunds.refund_id,
        sum(line_refunds.{{ named.subtotal }}) as amount
    from {{ mapped_table(place, 'order_line_refund') }} as line_refunds
    inner join lines
        on line_refunds.order_line_id = lines.id
    group by line_refunds.refund_id

),

adjusted as (

    select
        refund_id,
        sum({{ named.adjusted }}) as amount
    from {{ mapped_table(place, 'order_adjustment') }}
    where not coalesce({{ named.is_shipping }}, false)
    group by refund_id

),

united as (

    select
        order_id,
        sku,
        amount,
        discount_amount,
        false as is_refund,
        cast(null as {{ type_instant() }}) as refunded_at
    from sales

    union all

    -- An adjustment below zero is refunded beyond the lines, one above is not refunded of them.
    select
        refunds.order_id,
        cast(null as {{ type_text() }}) as sku,
        coalesce(adjusted.amount, 0) - coalesce(refunded.amount, 0) as amount,
        0 as discount_amount,
        true as is_refund,
        cast({{ named.refunded_at }} as {{ type_instant() }}) as refunded_at
    from {{ mapped_table(place, 'refund') }} as refunds
    left join refunded
        on refunds.id = refunded.refund_id
    left join adjusted
        on refunds.id = adjusted.refund_id
    where coalesce(adjusted.amount, 0) < coalesce(refunded.amount, 0)

)

select
    orders.user_id,
    coalesce(united.refunded_at, cast(orders.ordered_at as {{ type_instant() }})) as ts,
    {{ as_money('united.amount') }} as amount,
    orders.currency,
    orders.channel,
    united.sku,
    orders.country,
    united.is_refund,
    cast(orders.id as {{ type_text() }}) as order_id,
    {{ as_money('united.discount_amount') }} as discount_amount
from united
inner join orders
    on united.order_id = orders.id
    {%- endset -%}
    {%- set customers -%}
select
    cast(id as {{ type_text() }}) as user_id,
    created_at as signup_ts
from {{ mapped_table(place, 'customer') }}
    {%- endset -%}
    {%- set identities -%}
-- An order without a customer is that of the customer with its e-mail.
select
    cast(id as {{ type_text() }}) as user_id,
    {{ guest_id('email') }} as other_id
from {{ mapped_table(place, 'customer') }}
where nullif(trim(email), '') is not null
    {%- endset -%}
    {%- do return({'transactions': transactions, 'customers': customers, 'identities': identities}) -%}
{% endmacro %}
