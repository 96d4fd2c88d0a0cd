-- grain: one row per line of the transaction log, as delivered
{%- set found = found_columns('transactions') %}
{%- set since = since_history('transactions', found) %}
{%- set transacted_at = input_column('transactions', 'ts', type_instant(), found) %}
select
    {{ input_column('transactions', 'user_id', type_text(), found) }} as user_id,
    {{ input_column('transactions', 'order_id', type_text(), found) }} as order_id,
    {{ input_column('transactions', 'sku', type_text(), found) }} as sku,
    {{ input_column('transactions', 'category', type_text(), found) }} as category,
    {{ input_column('transactions', 'channel', type_text(), found) }} as channel,
    {{ input_column('transactions', 'country', type_text(), found) }} as country,
    upper({{ input_column('transactions', 'currency', type_text(), found) }})
        as currency,
    {{ input_column('transactions', 'amount', type_money(), found) }} as amount,
    {{ input_column('transactions', 'variable_cost', type_money(), found) }}
        as variable_cost,
    {{ input_column('transactions', 'discount_amount', type_money(), found) }}
        as discount_amount,
    {{ input_column('transactions', 'is_refund', 'boolean', found) }} as is_refund,
    {{ middle_of_month(transacted_at) if is_monthly() else transacted_at }}
        as transacted_at
from {{ input_table('transactions', found) }}
{{ 'where ' ~ since if since }}
