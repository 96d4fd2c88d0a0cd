-- grain: one row per link between a user id and another id of the same person
select
    {{ input_column('identities', 'user_id', type_text()) }} as user_id,
    {{ input_column('identities', 'other_id', type_text()) }} as other_id,
    {{ input_column('identities', 'linked_at', type_instant()) }} as linked_at
from {{ input_table('identities') }}
