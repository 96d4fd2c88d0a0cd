-- grain: one row per customer on a plan
{%- set spans = ['30d', '90d', '180d', '365d', 'lifetime'] %}
select
    customer_id,
    as_of_date,
    plan,
    cast(billing_period_days as {{ type_integer() }}) as billing_period_days,
    contract_status,
    first_purchase_date,
    last_purchase_date,
    next_renewal_date,
    cast(renewals as {{ type_integer() }}) as renewals,
    value_per_renewal,
    retention_rate_next,
    {%- for span in spans %}
    {%- if span != 'lifetime' %}
    probability_retained_{{ span }},
    {%- endif %}
    expected_renewals_{{ span }},
    clv_{{ span }},
    {%- for level in ['p10', 'p50', 'p90'] %}
    clv_{{ span }}_{{ level }},
    {%- endfor %}
    {%- endfor %}
    fitted_to
from {{ ref('int_contracts__scored') }}
