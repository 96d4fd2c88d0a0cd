-- grain: one row per link between a user id and another id of the same person
{%- set found = found_columns('identities') %}
select
    {{ input_column('identities', 'user_id', type_text(), found) }} as user_id,
    {{ input_column('identities', 'other_id', type_text(), found) }} as other_id,
    {{ input_column('identities', 'linked_at', type_instant(), found) }} as linked_at
from {{ input_table('identities', found) }}
