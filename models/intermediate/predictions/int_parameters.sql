-- grain: one row per model version, stratum and cutoff to score
-- All that scoring knows of the fits: int_outlook and int_predictions__scored read nothing else.
select
    timing.model_version,
    timing.stratum,
    timing.cutoff_date,
    timing.is_recipe,
    timing.purchase_model,
    timing.r,
    timing.alpha,
    timing.a,
    timing.b,
    timing.s,
    timing.beta,
    money.p,
    money.q,
    money.gamma
from {{ ref('int_purchases__parameters') }} as timing
left join {{ ref('int_gamma_gamma__parameters') }} as money
    on
        timing.stratum = money.stratum
        and timing.cutoff_date = money.cutoff_date
