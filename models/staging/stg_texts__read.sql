-- grain: one row per text of a user that a language model has read
-- Off unless var clv_text_model names a model, and for BigQuery only. Each text is sent, and billed,
-- once, so its key has no null: what was read stays, and what could not be read is tried again by the
-- next run.
{{ config(
    materialized='incremental',
    incremental_strategy='merge',
    unique_key=['user_id', 'source', 'written_at'],
    full_refresh=false,
) }}
with texts as (

    select
        cast(user_id as {{ type_text() }}) as user_id,
        coalesce(cast(source as {{ type_text() }}), '') as source,
        cast(body as {{ type_text() }}) as body,
        {{ as_instant('ts') }} as written_at
    from {{ source('clv_raw', 'texts') }}
    where
        body is not null
        and user_id is not null
        and ts is not null
    qualify row_number() over (partition by user_id, source, ts order by body) = 1

),

{%- if is_incremental() %}

read_before as (

    select
        user_id,
        source,
        written_at
    from {{ this }}

),
{%- endif %}

answered as (

    select
        texts.user_id,
        texts.source,
        texts.written_at,
        {{ read_text('texts.body') }} as answer
    from texts
    {%- if is_incremental() %}
    left join read_before
        on
            texts.user_id = read_before.user_id
            and texts.source = read_before.source
            and texts.written_at = read_before.written_at
    where read_before.user_id is null
    {%- endif %}

)

select
    user_id,
    source,
    lower(trim(answer.topic)) as topic,
    greatest(least(answer.sentiment, 1.0), -1.0) as sentiment,
    written_at
from answered
where answer.status = ''
