-- grain: one row per acquisition channel and day of spend
select
    {{ input_column('ad_spend', 'channel', type_text()) }} as channel,
    {{ input_column('ad_spend', 'spend', type_money()) }} as spend_amount,
    {{ input_column('ad_spend', 'new_customers', type_integer()) }} as new_customers,
    {{ input_column('ad_spend', 'spend_date', 'date') }} as spend_date
from {{ input_table('ad_spend') }}
