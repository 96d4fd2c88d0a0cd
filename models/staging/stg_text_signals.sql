-- grain: one row per text of a user, such as a review or a ticket: what was read out of it
{%- set found = found_columns('text_signals') %}
select
    {{ input_column('text_signals', 'user_id', type_text(), found) }} as user_id,
    {{ input_column('text_signals', 'source', type_text(), found) }} as source,
    {{ input_column('text_signals', 'topic', type_text(), found) }} as topic,
    {{ input_column('text_signals', 'sentiment', type_double(), found) }} as sentiment,
    {{ input_column('text_signals', 'ts', type_instant(), found) }} as written_at
from {{ input_table('text_signals', found) }}
{%- if var('clv_text_model') %}

union all

select
    user_id,
    source,
    topic,
    sentiment,
    written_at
from {{ ref('stg_texts__read') }}
{%- endif %}
