-- grain: one row per plan, billing period and renewal, up to those due in the next 365 days
with observed as (

    select
        *,
        cast(retained_customers as {{ type_double() }})
        / nullif(customers_at_risk, 0) as actual_retention_rate
    from {{ ref('int_contracts__renewals') }}

),

-- Kaplan-Meier: the product of the actual retention rates, 0 from a renewal that nobody paid.
survived as (

    select
        *,
        case
            when actual_retention_rate is null then null
            when
                min(actual_retention_rate) over (
                    partition by plan, billing_period_days
                    order by renewal
                    rows between unbounded preceding and current row
                ) > 0
                then
                    exp(
                        sum(ln(nullif(actual_retention_rate, 0))) over (
                            partition by plan, billing_period_days
                            order by renewal
                            rows between unbounded preceding and current row
                        )
                    )
            else 0.0
        end as actual_survival
    from observed

),

spans as (

    select
        plan,
        billing_period_days,
        max(renewal) + greatest(
            cast(floor(365 / billing_period_days) as {{ type_integer() }}), 1
        ) as last_renewal
    from observed
    group by 1, 2

),

fitted as (

    select curves.*
    from {{ ref('int_contracts__curves') }} as curves
    inner join spans
        on
            curves.plan = spans.plan
            and curves.billing_period_days = spans.billing_period_days
            and curves.renewal <= spans.last_renewal
    where curves.renewal > 0

),

joined as (

    select
        coalesce(survived.plan, fitted.plan) as plan,
        coalesce(survived.billing_period_days, fitted.billing_period_days)
            as billing_period_days,
        coalesce(survived.renewal, fitted.renewal) as renewal,
        survived.customers_at_risk,
        survived.retained_customers,
        survived.actual_retention_rate,
        fitted.retention_rate as fitted_retention_rate,
        survived.actual_survival,
        fitted.survival as fitted_survival
    from survived
    full outer join fitted
        on
            survived.plan = fitted.plan
            and survived.billing_period_days = fitted.billing_period_days
            and survived.renewal = fitted.renewal

)

select
    joined.plan,
    cast(joined.billing_period_days as {{ type_integer() }}) as billing_period_days,
    cast(joined.renewal as {{ type_integer() }}) as renewal,
    cast(joined.customers_at_risk as {{ type_integer() }}) as customers_at_risk,
    cast(joined.retained_customers as {{ type_integer() }}) as retained_customers,
    joined.actual_retention_rate,
    joined.fitted_retention_rate,
    joined.actual_survival,
    joined.fitted_survival,
    parameters.alpha,
    parameters.beta,
    parameters.fitted_to,
    parameters.message,
    as_of.as_of_date
from joined
cross join {{ ref('int_as_of') }} as as_of
left join {{ ref('int_contracts__parameters') }} as parameters
    on
        joined.plan = parameters.plan
        and joined.billing_period_days = parameters.billing_period_days
