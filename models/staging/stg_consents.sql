-- grain: one row per user, channel and statement on consent
{%- set found = found_columns('consents') %}
{%- set stated_at = input_column('consents', 'updated_at', type_instant(), found) %}
select
    {{ input_column('consents', 'user_id', type_text(), found) }} as user_id,
    lower({{ input_column('consents', 'channel', type_text(), found) }}) as channel,
    {{ input_column('consents', 'is_granted', 'boolean', found) }} as is_granted,
    {{ input_column('consents', 'objects_to_profiling', 'boolean', found) }}
        as objects_to_profiling,
    -- A clock's zero, such as 1970-01-01, is no time.
    case
        when {{ stated_at }} >= cast('1990-01-01' as {{ type_instant() }})
            then {{ stated_at }}
    end as updated_at
from {{ input_table('consents', found) }}
