-- Contracts. Survival does not rise from one renewal to the next, and nobody can make a renewal who did not make
-- the one before. More time adds renewals and value only: a life is worth at least the next 365 days, in the
-- mean and in every quantile; p10 <= p50 <= p90. Nothing is expected of who has left.
{%- set slack = '(1 + 1e-9)' %}
{%- set horizons = ['30d', '90d', '180d', '365d', 'lifetime'] %}
with renewals as (

    select
        *,
        lag(fitted_survival) over (
            partition by plan, billing_period_days order by renewal
        ) as fitted_survival_before,
        lag(actual_survival) over (
            partition by plan, billing_period_days order by renewal
        ) as actual_survival_before,
        lag(retained_customers) over (
            partition by plan, billing_period_days order by renewal
        ) as retained_before
    from {{ ref('contract_retention') }}

)

select
    plan as subject,
    'retention' as fault
from renewals
where
    fitted_survival > fitted_survival_before * {{ slack }}
    or actual_survival > actual_survival_before * {{ slack }}
    or customers_at_risk > retained_before
    or retained_customers > customers_at_risk

union all

select
    customer_id as subject,
    'lifetime' as fault
from {{ ref('contract_lifetime') }}
where
    (
        contract_status in ('lapsed', 'cancelled', 'suppressed')
        and (expected_renewals_lifetime != 0 or clv_lifetime_p90 != 0)
    )
    or (
        contract_status in ('not_started', 'no_billing_period')
        and coalesce(expected_renewals_lifetime, clv_lifetime) is not null
    )
    or (contract_status in ('active', 'due')) != (next_renewal_date is not null)
    or (expected_renewals_lifetime is null and clv_lifetime_p90 is not null)
    {%- for horizon in horizons %}
    or clv_{{ horizon }}_p10 > clv_{{ horizon }}_p50 * {{ slack }}
    or clv_{{ horizon }}_p50 > clv_{{ horizon }}_p90 * {{ slack }}
    {%- if not loop.first %}
    {%- set shorter = loop.previtem %}
    or expected_renewals_{{ shorter }} > expected_renewals_{{ horizon }} * {{ slack }}
    {%- if not loop.last %}
    or probability_retained_{{ horizon }}
    > probability_retained_{{ shorter }} * {{ slack }}
    {%- endif %}
    {%- for level in ['', '_p10', '_p50', '_p90'] %}
    or clv_{{ shorter }}{{ level }} > clv_{{ horizon }}{{ level }} * {{ slack }}
    {%- endfor %}
    {%- endif %}
    {%- endfor %}
