-- The codes that the rules give are those of seeds/reference/clv_segments.csv: a code that is
-- renamed there would leave its customers without a name and without advice.
with ruled as (

    {% for segment, _, _ in clv_segment_rules() -%}
    select '{{ segment }}' as clv_segment
    union all
    {% endfor -%}
    select '00_prospect' as clv_segment
    union all
    select 'refunds_only' as clv_segment

)

select
    ruled.clv_segment as ruled_segment,
    seed.clv_segment as named_segment
from ruled
full outer join {{ ref('clv_segments') }} as seed
    on ruled.clv_segment = seed.clv_segment
where
    (ruled.clv_segment is null or seed.clv_segment is null)
    and not {{ 'true' if flags.EMPTY else 'false' }}
