-- grain: one row per user, channel and change of consent
select
    {{ input_column('consents', 'user_id', type_text()) }} as user_id,
    {{ input_column('consents', 'channel', type_text()) }} as channel,
    {{ input_column('consents', 'is_granted', 'boolean') }} as is_granted,
    {{ input_column('consents', 'updated_at', type_instant()) }} as updated_at
from {{ input_table('consents') }}
