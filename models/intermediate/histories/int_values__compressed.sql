-- grain: one row per stratum, cutoff, number of purchase days and 5 % wide bin of mean value
-- The sufficient input of the Gamma-Gamma fit for any number of customers: within a bin of ln(value) the
-- likelihood is expanded around the mean, which needs the variance too. The variation within a customer
-- enters through the sum of the logs of each day's share.
select
    stratum,
    cutoff_date,
    purchase_days,
    cast(floor(ln(capped_mean_value) / 0.05) as {{ type_integer() }}) as value_bin,
    count(*) as customers,
    avg(ln(capped_mean_value)) as mean_ln_value,
    avg(capped_mean_value) as mean_value,
    var_pop(capped_mean_value) as variance_value,
    count(ln_shares) as sharing_customers,
    coalesce(sum(ln_shares), 0.0) as ln_shares
from {{ ref('int_histories__sampled') }}
where
    capped_mean_value > 0
    and cutoff_date in (
        select readiness.cutoff_date
        from {{ ref('int_readiness') }} as readiness
        where readiness.is_forecast
    )
group by 1, 2, 3, 4
