-- grain: one row per customer on a plan: the renewals to come, by the shifted-beta-geometric model
-- Served in place of the purchase model's forecast where is_served. A daily run takes the curves of the last
-- full run.
{%- set horizons = shaped('clv_horizons') %}
{%- set spans = {1095: '1095d', 18250: 'lifetime'} %}
{%- for horizon in horizons %}
{%- do spans.update({horizon: horizon ~ 'd'}) %}
{%- endfor %}
with contracts as (

    select
        *,
        contract_status in ('active', 'due') as is_running,
        -- A renewal that is due is expected now.
        greatest({{ days_between('as_of_date', 'next_renewal_date') }}, 0)
            as days_to_renewal,
        power({{ 1 + var('clv_discount_rate') }}, -billing_period_days / 365.0)
            as discount,
        -- All that they have paid, over the periods that it has paid for.
        cast(
            case when value_amount < 0 then 0 else value_amount end
            as {{ type_double() }}
        ) / (renewals + 1) as value_per_renewal
    from {{ ref('int_contracts__observed') }}

),

-- Renewals that fall due within each span.
due as (

    select
        *,
        {%- for days, span in spans.items() %}
        cast(
            case
                when days_to_renewal <= {{ days }}
                    then floor(({{ days }} - days_to_renewal) / billing_period_days) + 1
                else 0
            end as {{ type_integer() }}
        ) as due_{{ span }},
        {%- endfor %}
        value_per_renewal
        * power({{ 1 + var('clv_discount_rate') }}, -days_to_renewal / 365.0)
            as next_value
    from contracts

),

curves as (

    select *
    from {{ ref('int_contracts__curves') }}

),

projected as (

    select
        due.*,
        {%- for span in spans.values() %}
        at_{{ span }}.survival / nullif(made.survival, 0)
            as probability_retained_{{ span }},
        (made.renewals_ahead - at_{{ span }}.renewals_ahead) / nullif(made.survival, 0)
            as expected_renewals_{{ span }},
        -- E[N^2]: renewal m of those to come counts 2 m - 1.
        (
            2 * (made.weighted_renewals_ahead - at_{{ span }}.weighted_renewals_ahead)
            - (2 * due.renewals + 1)
            * (made.renewals_ahead - at_{{ span }}.renewals_ahead)
        ) / nullif(made.survival, 0) as squared_renewals_{{ span }},
        due.next_value
        * (made.discounted_renewals_ahead - at_{{ span }}.discounted_renewals_ahead)
        / nullif(made.survival * power(due.discount, due.renewals), 0)
            as clv_{{ span }},
        {%- endfor %}
        parameters.fitted_to,
        coming.retention_rate as retention_rate_next,
        remaining.remaining_p10,
        remaining.remaining_p50,
        remaining.remaining_p90
    from due
    left join {{ ref('int_contracts__parameters') }} as parameters
        on
            due.plan = parameters.plan
            and due.billing_period_days = parameters.billing_period_days
            and due.is_running
    left join {{ ref('int_contracts__remaining') }} as remaining
        on
            due.plan = remaining.plan
            and due.billing_period_days = remaining.billing_period_days
            and due.renewals = remaining.renewals
            and due.is_running
    {%- for alias, ahead in [('made', '0'), ('coming', '1')] %}
    left join curves as {{ alias }}
        on
            due.plan = {{ alias }}.plan
            and due.billing_period_days = {{ alias }}.billing_period_days
            and due.renewals + {{ ahead }} = {{ alias }}.renewal
            and due.is_running
    {%- endfor %}
    {%- for span in spans.values() %}
    left join curves as at_{{ span }}
        on
            due.plan = at_{{ span }}.plan
            and due.billing_period_days = at_{{ span }}.billing_period_days
            and due.renewals + due.due_{{ span }} = at_{{ span }}.renewal
            and due.is_running
    {%- endfor %}

)

-- 0 for who has left, whatever the plan's fit.
select
    customer_id,
    as_of_date,
    plan,
    billing_period_days,
    contract_status,
    first_purchase_date,
    last_purchase_date,
    case when is_running then next_renewal_date end as next_renewal_date,
    renewals,
    value_per_renewal,
    case when is_running then 1.0 else 0.0 end as probability_alive,
    {%- set has_left = "contract_status in ('lapsed', 'cancelled', 'suppressed')" %}
    case when {{ has_left }} then 0.0 else retention_rate_next end
        as retention_rate_next,
    {%- for horizon in horizons %}
    {%- set span = horizon ~ 'd' %}
    case when {{ has_left }} then 0.0 else probability_retained_{{ span }} end
        as probability_retained_{{ span }},
    case
        when {{ has_left }} then 0.0
        when due_{{ span }} = 0 then 0.0 * retention_rate_next
        else retention_rate_next
    end as probability_renewal_{{ span }},
    case
        when {{ has_left }} then 0.0 * value_per_renewal
        when squared_renewals_{{ span }} < power(expected_renewals_{{ span }}, 2)
            then 0.0 * value_per_renewal
        else
            power(value_per_renewal, 2)
            * (squared_renewals_{{ span }} - power(expected_renewals_{{ span }}, 2))
    end as value_variance_{{ span }},
    {%- endfor %}
    {%- for span in spans.values() %}
    case when {{ has_left }} then 0.0 else expected_renewals_{{ span }} end
        as expected_renewals_{{ span }},
    case
        when {{ has_left }} then 0.0 * value_per_renewal
        else clv_{{ span }}
    end as clv_{{ span }},
    {%- for level in ['p10', 'p50', 'p90'] %}
    {%- set paid = 'least(due_' ~ span ~ ', remaining_' ~ level ~ ')' %}
    case
        when {{ has_left }} then 0.0 * value_per_renewal
        -- So many payments, one a period; without discounting their number.
        when remaining_{{ level }} is not null
            then
                next_value * coalesce(
                    (1 - power(discount, {{ paid }})) / nullif(1 - discount, 0),
                    {{ paid }}
                )
    end as clv_{{ span }}_{{ level }},
    {%- endfor %}
    {%- endfor %}
    fitted_to,
    first_purchase_date is not null
    and billing_period_days is not null
    and ({{ has_left }} or remaining_p10 is not null) as is_served
from projected
