-- grain: one row per behavioural event of a user
{%- set found = found_columns('events') %}
{%- set since = since_history('events', found) %}
select
    {{ input_column('events', 'user_id', type_text(), found) }} as user_id,
    {{ input_column('events', 'event_name', type_text(), found) }} as event_name,
    {{ input_column('events', 'metadata_json', type_text(), found) }} as metadata_json,
    {{ input_column('events', 'ts', type_instant(), found) }} as occurred_at
from {{ input_table('events', found) }}
{{ 'where ' ~ since if since }}
