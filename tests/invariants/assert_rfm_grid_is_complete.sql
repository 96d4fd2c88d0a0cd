-- Every combination of scores has a segment: 5 recency scores by 5 combined scores.
select count(*) as combinations
from {{ ref('rfm_segments') }}
where
    segment is not null
    and recency_score between 1 and 5
    and frequency_monetary_score between 1 and 5
having count(*) != {{ 0 if flags.EMPTY else 25 }}
