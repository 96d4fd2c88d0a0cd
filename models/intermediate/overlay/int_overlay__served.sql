-- grain: one row per customer whom the overlay serves: its factors on their baseline
-- Rebuilt by full runs; daily runs multiply the scores of the day by these factors.
select
    gated.customer_id,
    gated.factor,
    gated.floor_value
from {{ ref('int_overlay__gated') }} as gated
inner join {{ ref('int_cutoffs') }} as cutoffs
    on gated.cutoff_date = cutoffs.cutoff_date
where cutoffs.is_production and gated.is_overlay
