-- grain: one row per user and change of status
{%- set found = found_columns('customer_status') %}
select
    {{ input_column('customer_status', 'user_id', type_text(), found) }} as user_id,
    lower({{ input_column('customer_status', 'status', type_text(), found) }})
        as status,
    {{ input_column('customer_status', 'effective_at', type_instant(), found) }}
        as effective_at
from {{ input_table('customer_status', found) }}
