-- grain: one row per plan, billing period and renewal from 0: fitted retention and survival
-- Reaches 50 years beyond the customer who has renewed most often. Sums run from the last renewal
-- backwards, so that differences of them stay exact where hardly anybody is left.
{%- set rate = var('clv_discount_rate') %}
with plans as (

    select
        plan,
        billing_period_days,
        max(renewals) as most_renewals
    from {{ ref('int_contracts__observed') }}
    where billing_period_days is not null and first_purchase_date is not null
    group by 1, 2

),

fitted as (

    select
        plans.*,
        parameters.alpha,
        parameters.beta,
        plans.most_renewals
        + cast(floor(18250 / plans.billing_period_days) as {{ type_integer() }})
        + 1 as last_renewal
    from plans
    inner join {{ ref('int_contracts__parameters') }} as parameters
        on
            plans.plan = parameters.plan
            and plans.billing_period_days = parameters.billing_period_days
    where parameters.alpha is not null

),

rates as (

    select
        fitted.plan,
        fitted.billing_period_days,
        fitted.most_renewals,
        numbers.number as renewal,
        case
            when numbers.number > 0
                then
                    (fitted.beta + numbers.number - 1)
                    / (fitted.alpha + fitted.beta + numbers.number - 1)
        end as retention_rate,
        power(
            {{ 1 + rate }}, -(numbers.number - 1) * fitted.billing_period_days / 365.0
        ) as discount
    from fitted
    inner join
        {{ number_series('(select max(last_renewal) from fitted)') }} as numbers
        on fitted.last_renewal >= numbers.number

),

survived as (

    select
        *,
        exp(
            sum(coalesce(ln(retention_rate), 0.0)) over (
                partition by plan, billing_period_days
                order by renewal
                rows between unbounded preceding and current row
            )
        ) as survival
    from rates

)

select
    plan,
    billing_period_days,
    renewal,
    retention_rate,
    survival,
    {%- for column, weight in [
        ('renewals_ahead', ''), ('discounted_renewals_ahead', ' * discount'),
        ('weighted_renewals_ahead', ' * renewal'),
    ] %}
    coalesce(
        sum(survival{{ weight }}) over (
            partition by plan, billing_period_days
            order by renewal desc
            rows between unbounded preceding and 1 preceding
        ),
        0.0
    ) as {{ column }},
    {%- endfor %}
    -- Daily runs do not rebuild the curves: by the next full run customers have renewed more often.
    renewal <= most_renewals + 1
    + floor({{ var('clv_days_between_full_runs') }} / billing_period_days) as is_reached
from survived
