-- grain: one row per month and currency of the transaction log, up to the as-of date
{%- set day = local_date('transacted_at') %}
{%- set read = 'true' %}
{%- if is_daily() %}
{%- set lines_from = daily_window().lines_from %}
{%- set read = instants_since('transacted_at', lines_from) ~ ' and ' ~ since(day, lines_from) %}
{%- endif %}
{%- if var('clv_as_of_date') is not none %}
{%- set read = read ~ ' and ' ~ day ~ " <= cast('" ~ var('clv_as_of_date') ~ "' as date)" %}
{%- endif %}
-- A negative amount is a refund, whatever the flag says.
with lines as (

    {{ count_copies(ref('stg_transactions'), {
        'currency': "coalesce(currency, '" ~ (var('clv_currency') or '') ~ "')",
        'user_id': 'user_id',
        'order_id': 'order_id',
        'sku': 'sku',
        'transacted_at': 'transacted_at',
        'amount': 'amount',
        'is_returned': 'coalesce(is_refund, false) or coalesce(amount, 0) < 0',
        'transaction_date': day,
    }, read) }}

),

customer_days as (

    select
        currency,
        user_id,
        transaction_date,
        count(*) as distinct_lines,
        sum(copies) as line_count,
        sum(case when is_returned then copies else 0 end) as refund_count,
        sum(case when user_id is null then copies else 0 end) as lines_without_user,
        sum(case when order_id is null then 1 else 0 end) as lines_without_order,
        sum(case when order_id is null and copies > 1 then 1 else 0 end)
            as repeated_lines,
        sum(case when not is_returned then copies * amount end) as sales_amount
    from lines
    group by 1, 2, 3

),

summed as (

    select
        {{ month_start('transaction_date') }} as transaction_month,
        currency,
        sum(line_count) as line_count,
        sum(line_count - distinct_lines) as duplicate_count,
        sum(refund_count) as refund_count,
        sum(lines_without_user) as lines_without_user,
        sum(case when line_count > refund_count then 1 else 0 end) as purchase_days,
        count(distinct user_id) as customers,
        count(distinct transaction_date) as active_days,
        sum(sales_amount) as sales_amount,
        min(transaction_date) as first_transaction_date,
        max(transaction_date) as last_transaction_date,
        min(concat(cast(transaction_date as {{ type_text() }}), '|', user_id))
            as first_customer,
        max(user_id) as last_customer
    from customer_days
    group by 1, 2

),

-- Days of which nearly every line without an order occurs again, as where two exports overlap.
repeated_days as (

    select
        transaction_date,
        currency
    from customer_days
    group by 1, 2
    having
        sum(lines_without_order) >= 10
        and sum(repeated_lines) >= 0.9 * sum(lines_without_order)

),

repeated as (

    select
        {{ month_start('transaction_date') }} as transaction_month,
        currency,
        count(*) as repeated_days,
        max(transaction_date) as last_repeated_date
    from repeated_days
    group by 1, 2

),

-- The median from a histogram, so that no worker sorts every purchase.
histogram as (

    select
        {{ month_start('transaction_date') }} as transaction_month,
        currency,
        sales_amount,
        count(*) as purchase_days
    from customer_days
    where sales_amount > 0
    group by 1, 2, 3

),

cumulated as (

    select
        transaction_month,
        currency,
        sales_amount,
        sum(purchase_days) over (
            partition by transaction_month, currency
            order by sales_amount
            rows between unbounded preceding and current row
        ) as purchase_days_up_to,
        sum(purchase_days) over (
            partition by transaction_month, currency
        ) as purchase_days
    from histogram

),

medians as (

    select
        transaction_month,
        currency,
        min(sales_amount) as median_sale_amount
    from cumulated
    where 2 * purchase_days_up_to >= purchase_days
    group by 1, 2

)
{%- if is_daily() %},

last_load as (

    {{ last_load() | indent(4) }}

)
{%- endif %}

select
    summed.transaction_month,
    summed.currency,
    {%- for count in [
        'line_count', 'duplicate_count', 'refund_count', 'purchase_days', 'customers',
        'active_days', 'lines_without_user',
    ] %}
    cast(summed.{{ count }} as {{ type_integer() }}) as {{ count }},
    {%- endfor %}
    {{ as_money('coalesce(summed.sales_amount, 0)') }} as sales_amount,
    medians.median_sale_amount,
    cast(coalesce(repeated.repeated_days, 0) as {{ type_integer() }}) as repeated_days,
    repeated.last_repeated_date,
    summed.first_transaction_date,
    summed.last_transaction_date,
    -- Hashes of two of its customers, which identify a later load of the same shop.
    substr({{ dbt.hash('summed.first_customer') }}, 1, 12) as first_customer_hash,
    substr({{ dbt.hash('summed.last_customer') }}, 1, 12) as last_customer_hash
from summed
left join medians
    on
        summed.transaction_month = medians.transaction_month
        and summed.currency = medians.currency
left join repeated
    on
        summed.transaction_month = repeated.transaction_month
        and summed.currency = repeated.currency
{%- if is_daily() %}

union all

-- Months that a daily run does not read are as they were in the last load.
select
    transaction_month,
    currency,
    line_count,
    duplicate_count,
    refund_count,
    purchase_days,
    customers,
    active_days,
    lines_without_user,
    sales_amount,
    cast(null as {{ type_money() }}) as median_sale_amount,
    0 as repeated_days,
    cast(null as date) as last_repeated_date,
    coalesce(first_transaction_date, transaction_month) as first_transaction_date,
    coalesce(last_transaction_date, transaction_month) as last_transaction_date,
    first_customer_hash,
    last_customer_hash
from last_load
where transaction_month < date '{{ daily_window().lines_from }}'
{%- endif %}
