-- grain: one row per user and change of status
select
    {{ input_column('customer_status', 'user_id', type_text()) }} as user_id,
    lower({{ input_column('customer_status', 'status', type_text()) }}) as status,
    {{ input_column('customer_status', 'effective_at', type_instant()) }}
        as effective_at
from {{ input_table('customer_status') }}
