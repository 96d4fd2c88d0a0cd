-- grain: one row per user, channel and statement on consent
{%- set found = found_columns('consents') %}
select
    {{ input_column('consents', 'user_id', type_text(), found) }} as user_id,
    lower({{ input_column('consents', 'channel', type_text(), found) }}) as channel,
    {{ input_column('consents', 'is_granted', 'boolean', found) }} as is_granted,
    {{ input_column('consents', 'objects_to_profiling', 'boolean', found) }}
        as objects_to_profiling,
    {{ input_column('consents', 'updated_at', type_instant(), found) }} as updated_at
from {{ input_table('consents', found) }}
