-- Explanations are complete: for customers served by candidate `offset` the product of the factors is
-- the overlay's factor on baseline plus floor, and the part that no family explains is common to all.
{{ config(enabled=var('clv_overlay')) }}
with served as (

    select
        gated.customer_id,
        gated.overlay_value / (gated.baseline_value + gated.floor_value) as factor
    from {{ ref('int_overlay__gated') }} as gated
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on gated.cutoff_date = cutoffs.cutoff_date
    where
        cutoffs.is_production
        and gated.is_overlay
        and gated.candidate = 'offset'

),

explained as (

    select
        customer_id,
        sum(ln(multiplier)) as ln_factor,
        max(case when family = 'everyone' then multiplier end) as of_everyone
    from {{ ref('clv_explanations') }}
    group by 1

),

everyone as (

    select min(of_everyone) as multiplier
    from explained

)

select
    served.customer_id,
    served.factor,
    exp(explained.ln_factor) as explained_factor,
    explained.of_everyone
from served
cross join everyone
full outer join explained
    on served.customer_id = explained.customer_id
where
    served.customer_id is null
    or explained.customer_id is null
    or not coalesce(abs(explained.ln_factor - ln(served.factor)) <= 1e-9, false)
    or not coalesce(explained.of_everyone <= (1 + 1e-9) * everyone.multiplier, false)
