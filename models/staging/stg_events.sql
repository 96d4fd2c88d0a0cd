-- grain: one row per behavioural event of a user
select
    {{ input_column('events', 'user_id', type_text()) }} as user_id,
    {{ input_column('events', 'event_name', type_text()) }} as event_name,
    {{ input_column('events', 'metadata_json', type_text()) }} as metadata_json,
    {{ input_column('events', 'ts', type_instant()) }} as occurred_at
from {{ input_table('events') }}
