-- grain: one row per line of the transaction log, as delivered
select
    {{ input_column('transactions', 'user_id', type_text()) }} as user_id,
    {{ input_column('transactions', 'order_id', type_text()) }} as order_id,
    {{ input_column('transactions', 'sku', type_text()) }} as sku,
    {{ input_column('transactions', 'category', type_text()) }} as category,
    {{ input_column('transactions', 'channel', type_text()) }} as channel,
    {{ input_column('transactions', 'country', type_text()) }} as country,
    upper({{ input_column('transactions', 'currency', type_text()) }}) as currency,
    {{ input_column('transactions', 'amount', type_money()) }} as amount,
    {{ input_column('transactions', 'variable_cost', type_money()) }} as variable_cost,
    {{ input_column('transactions', 'discount_amount', type_money()) }}
        as discount_amount,
    {{ input_column('transactions', 'is_refund', 'boolean') }} as is_refund,
    {{ input_column('transactions', 'ts', type_instant()) }} as transacted_at
from {{ input_table('transactions') }}
