{#
    Inputs from the analytics tables of WooCommerce in WordPress, as SQL by input. An order counts with its
    net total, without tax and shipping, as WooCommerce's own reports: not with status pending, failed or
    cancelled, nor a draft; as a line for each product where the products add up to it, else as one
    line. A refund is an order below zero of a parent, and counts where the parent does. A guest is a
    customer by e-mail there. These tables name no currency: it is the project's.

    Args:
        place: database and schema of the tables.
        prefix: of the tables of WordPress.
#}
{% macro mapped_woocommerce(place, prefix='wp_') %}
    {%- set transactions -%}
with stats as (

    select
        order_id,
        parent_id,
        date_created_gmt,
        net_total,
        nullif(customer_id, 0) as customer_id
    from {{ mapped_table(place, prefix ~ 'wc_order_stats') }}
    where
        parent_id != 0 and net_total < 0
        or parent_id = 0
        and replace(status, 'wc-', '') not in (
            'pending', 'failed', 'cancelled', 'trash', 'auto-draft', 'checkout-draft'
        )

),

orders as (

    select *
    from stats
    where parent_id = 0

),

products as (

    select
        order_id,
        coalesce(nullif(variation_id, 0), product_id) as product_id,
        sum(product_net_revenue) as amount
    from {{ mapped_table(place, prefix ~ 'wc_order_product_lookup') }}
    group by order_id, coalesce(nullif(variation_id, 0), product_id)

),

product_totals as (

    select
        order_id,
        sum(amount) as amount
    from products
    group by order_id

),

itemized as (

    select orders.order_id
    from orders
    inner join product_totals
        on orders.order_id = product_totals.order_id
    where abs(orders.net_total - product_totals.amount) < 0.005

),

united as (

    select
        orders.customer_id,
        orders.date_created_gmt,
        coalesce(products.amount, orders.net_total) as amount,
        products.product_id,
        false as is_refund,
        orders.order_id
    from orders
    left join itemized
        on orders.order_id = itemized.order_id
    left join products
        on itemized.order_id = products.order_id

    union all

    select
        orders.customer_id,
        refunds.date_created_gmt,
        refunds.net_total as amount,
        cast(null as {{ type_integer() }}) as product_id,
        true as is_refund,
        orders.order_id
    from stats as refunds
    inner join orders
        on refunds.parent_id = orders.order_id

)

select
    cast(customer_id as {{ type_text() }}) as user_id,
    cast(date_created_gmt as {{ type_instant() }}) as ts,
    {{ as_money('amount') }} as amount,
    cast(product_id as {{ type_text() }}) as sku,
    is_refund,
    cast(order_id as {{ type_text() }}) as order_id
from united
    {%- endset -%}
    {%- set customers -%}
select
    cast(customer_id as {{ type_text() }}) as user_id,
    cast(date_registered as {{ type_instant() }}) as signup_ts,
    country
from {{ mapped_table(place, prefix ~ 'wc_customer_lookup') }}
    {%- endset -%}
    {%- do return({'transactions': transactions, 'customers': customers}) -%}
{% endmacro %}
