-- grain: one row per plan, billing period and number of renewals made: quantiles of the renewals to come
-- The quantile at level u is the number of renewals that more than 1 - u of those customers still make.
select
    made.plan,
    made.billing_period_days,
    made.renewal as renewals,
    cast(
        sum(case when ahead.survival > 0.9 * made.survival then 1 else 0 end)
        as {{ type_integer() }}
    ) as remaining_p10,
    cast(
        sum(case when ahead.survival > 0.5 * made.survival then 1 else 0 end)
        as {{ type_integer() }}
    ) as remaining_p50,
    cast(
        sum(case when ahead.survival > 0.1 * made.survival then 1 else 0 end)
        as {{ type_integer() }}
    ) as remaining_p90
from {{ ref('int_contracts__curves') }} as made
inner join {{ ref('int_contracts__curves') }} as ahead
    on
        made.plan = ahead.plan
        and made.billing_period_days = ahead.billing_period_days
        and made.renewal < ahead.renewal
where made.is_reached
group by 1, 2, 3
