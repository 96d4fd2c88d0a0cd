-- grain: one row per model version, stratum and cutoff
select
    timing.model_version,
    timing.stratum,
    timing.cutoff_date,
    cutoffs.is_production,
    timing.is_current_spec,
    timing.purchase_model,
    timing.fitted_stratum,
    timing.method,
    timing.customers,
    timing.histories,
    timing.k,
    timing.r,
    timing.alpha,
    timing.a,
    timing.b,
    timing.s,
    timing.beta,
    timing.se_r,
    timing.se_alpha,
    timing.se_a,
    timing.se_b,
    timing.se_s,
    timing.se_beta,
    timing.log_likelihood,
    nullif(timing.season, '') as season,
    timing.bias_without_season,
    timing.bias_with_season,
    timing.lifetimes_parameter_difference,
    money.fitted_stratum as value_fitted_stratum,
    money.method as value_method,
    money.customers as value_customers,
    money.p,
    money.q,
    money.gamma,
    money.se_p,
    money.se_q,
    money.se_gamma,
    money.population_mean_value,
    money.rate_value_correlation,
    money.log_likelihood as value_log_likelihood,
    timing.converged and coalesce(money.converged, true) as is_converged,
    timing.is_flagged or coalesce(money.is_flagged, false) as is_flagged,
    trim(concat(timing.message, ' ', coalesce(money.message, ''))) as message
from {{ ref('int_purchases__parameters') }} as timing
inner join {{ ref('int_cutoffs') }} as cutoffs
    on timing.cutoff_date = cutoffs.cutoff_date
left join {{ ref('int_gamma_gamma__parameters') }} as money
    on
        timing.stratum = money.stratum
        and timing.cutoff_date = money.cutoff_date
