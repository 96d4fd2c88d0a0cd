-- grain: one row per user id of the customer list
{%- set found = found_columns('customers') %}
select
    {{ input_column('customers', 'user_id', type_text(), found) }} as user_id,
    {{ input_column('customers', 'account_id', type_text(), found) }} as account_id,
    {{ input_column('customers', 'subscriber_key', type_text(), found) }}
        as subscriber_key,
    {{ input_column('customers', 'country', type_text(), found) }} as country,
    {{ input_column('customers', 'device', type_text(), found) }} as device,
    {{ input_column('customers', 'acquisition_source', type_text(), found) }}
        as acquisition_source,
    {{ input_column('customers', 'tier', type_text(), found) }} as tier,
    {{ input_column('customers', 'plan', type_text(), found) }} as plan,
    {{ input_column('customers', 'billing_period_days', type_integer(), found) }}
        as billing_period_days,
    {{ input_column('customers', 'signup_ts', type_instant(), found) }} as signed_up_at
from {{ input_table('customers', found) }}
