-- grain: one row per distinct transaction line, with its customer, amounts and whether it counts
{{ config(**replace_months('transaction_date', daily_window().lines_from)) }}
{%- set line_columns = {} %}
{%- for column in [
    'user_id', 'order_id', 'sku', 'category', 'channel', 'country', 'currency', 'amount',
    'variable_cost', 'discount_amount', 'is_refund', 'transacted_at',
] %}
{%- do line_columns.update({column: column}) %}
{%- endfor %}
{%- set read = 'true' %}
{%- if is_daily() %}
{%- set window = daily_window() %}
{%- set day = local_date('transacted_at') %}
{%- set read = instants_since('transacted_at', window.lines_from)
    ~ ' and ' ~ since(day, window.lines_from)
    ~ ' and ' ~ day ~ " < date '" ~ window.until ~ "'" %}
{%- endif %}
with as_of as (

    select
        as_of_date,
        currency
    from {{ ref('int_as_of') }}

),

-- Identical lines become one row with their number.
lines as (

    {{ count_copies(ref('stg_transactions'), line_columns, read) }}

),

counted as (

    select
        *,
        {%- if var('clv_duplicates') == 'none' %}
        copies as line_count,
        {%- elif var('clv_duplicates') == 'rows' %}
        cast(1 as {{ type_integer() }}) as line_count,
        {%- else %}
        case when order_id is null then copies else 1 end as line_count,
        {%- endif %}
        {{ local_date('transacted_at') }} as transaction_date,
        -- A negative amount is a refund, whatever the flag says.
        coalesce(is_refund, false) or coalesce(amount, 0) < 0 as is_returned
    from lines

),

rates as (

    select *
    from {{ ref('int_currency_rates__dated') }}

),

identities as (

    select
        identifier,
        customer_id
    from {{ ref('int_identities__resolved') }}

),

{%- for dimension in ['category', 'channel', 'country'] %}

{{ dimension }}_margins as (

    select
        key,
        margin_rate
    from {{ ref('margin_rates') }}
    where dimension = '{{ dimension }}'

),
{%- endfor %}

-- Amounts in the project's currency; refunds are negative, whatever sign was delivered.
converted as (

    select
        coalesce(identities.customer_id, counted.user_id) as customer_id,
        case
            when counted.user_id != identities.customer_id then counted.user_id
        end as merged_user_id,
        counted.order_id,
        counted.sku,
        counted.category,
        counted.channel,
        counted.country,
        counted.currency,
        counted.amount as delivered_amount,
        counted.variable_cost as delivered_variable_cost,
        counted.discount_amount as delivered_discount_amount,
        counted.is_refund as is_flagged_refund,
        counted.is_returned,
        counted.line_count,
        counted.copies - counted.line_count as duplicate_count,
        counted.transaction_date,
        counted.transacted_at,
        counted.user_id is not null
        and counted.transaction_date <= as_of.as_of_date as is_counted,
        case
            when counted.currency is null then 1
            when counted.currency = as_of.currency then 1
            else rates.rate
        end as currency_rate,
        {%- for money, delivered in {
            'amount': 'counted.amount',
            'variable_cost': 'counted.variable_cost',
            'discount': 'coalesce(counted.discount_amount, 0)',
        }.items() %}
        case
            when counted.is_returned then -abs({{ delivered }})
            else abs({{ delivered }})
        end as {{ money }},
        {%- endfor %}
        coalesce(
            category_margins.margin_rate,
            channel_margins.margin_rate,
            country_margins.margin_rate,
            {{ var('clv_margin_rate') }}
        ) as margin_rate
    from counted
    cross join as_of
    left join identities
        on counted.user_id = identities.identifier
    left join rates
        on
            counted.currency = rates.currency
            and counted.transaction_date >= rates.valid_from
            and (
                rates.valid_until is null
                or counted.transaction_date < rates.valid_until
            )
    {%- for dimension in ['category', 'channel', 'country'] %}
    left join {{ dimension }}_margins
        on counted.{{ dimension }} = {{ dimension }}_margins.key
    {%- endfor %}

),

priced as (

    select
        {%- for money in ['amount', 'variable_cost', 'discount'] %}
        case
            when currency_rate = 1 then {{ money }}
            else {{ as_money(money ~ ' * currency_rate') }}
        end as unit_{{ money }},
        {%- endfor %}
        *
    from converted

),

valued as (

    select
        *,
        case
            when unit_variable_cost is not null then unit_amount - unit_variable_cost
            when margin_rate = 1 then unit_amount
            else {{ as_money('unit_amount * margin_rate') }}
        end as unit_margin
    from priced

)

select
    {{ transaction_key('valued') }} as transaction_id,
    customer_id,
    merged_user_id,
    order_id,
    sku,
    category,
    channel,
    country,
    currency,
    is_counted,
    line_count,
    duplicate_count,
    delivered_amount,
    delivered_variable_cost,
    delivered_discount_amount,
    is_flagged_refund,
    -- Most lines occur once, and products of decimals are slow.
    {%- for measure in ['amount', 'margin', 'discount'] %}
    case
        when line_count = 1 then unit_{{ measure }}
        else {{ as_money('unit_' ~ measure ~ ' * line_count') }}
    end as {{ 'revenue' if measure == 'amount' else measure }}_amount,
    {%- endfor %}
    case
        -- Zero of the amount's type; null if the amount is.
        when duplicate_count = 0 then unit_amount - unit_amount
        else {{ as_money('unit_amount * duplicate_count') }}
    end as duplicate_amount,
    is_returned as is_refund,
    transaction_date,
    transacted_at
from valued
