-- grain: one row per user id of the customer list
select
    {{ input_column('customers', 'user_id', type_text()) }} as user_id,
    {{ input_column('customers', 'account_id', type_text()) }} as account_id,
    {{ input_column('customers', 'country', type_text()) }} as country,
    {{ input_column('customers', 'device', type_text()) }} as device,
    {{ input_column('customers', 'acquisition_source', type_text()) }}
        as acquisition_source,
    {{ input_column('customers', 'signup_ts', type_instant()) }} as signed_up_at
from {{ input_table('customers') }}
