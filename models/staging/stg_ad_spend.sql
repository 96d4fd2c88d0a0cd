-- grain: one row per acquisition channel and day of spend
{%- set found = found_columns('ad_spend') %}
select
    {{ input_column('ad_spend', 'channel', type_text(), found) }} as channel,
    upper({{ input_column('ad_spend', 'currency', type_text(), found) }}) as currency,
    {{ input_column('ad_spend', 'spend', type_money(), found) }} as spend_amount,
    {{ input_column('ad_spend', 'new_customers', type_integer(), found) }}
        as new_customers,
    {{ input_column('ad_spend', 'spend_date', 'date', found) }} as spend_date
from {{ input_table('ad_spend', found) }}
