-- The rest of a life is worth at least the next 1,095 days, and these at least the next 365, in the mean and
-- in every quantile; p10 <= p50 <= p90; nothing is below 0, infinite or NaN; the total is value to date plus
-- the rest. Where customer_lifetime_value has no value there is none, where it is 0 there is 0.
{{ config(tags=['full_run']) }}
{%- set slack = '(1 + 1e-9)' %}
{%- set levels = ['', '_p10', '_p50', '_p90'] %}
select
    lives.customer_id,
    lives.lifetime_status
from {{ ref('customer_lifetime') }} as lives
full outer join {{ ref('customer_lifetime_value') }} as years
    on lives.customer_id = years.customer_id
where
    lives.customer_id is null
    or years.customer_id is null
    or (lives.lifetime_status in ('withheld', 'refunds_only'))
    != (years.clv_source in ('withheld', 'refunds_only'))
    or (lives.lifetime_status = 'suppressed')
    != (
        years.is_suppressed
        and years.clv_source not in ('withheld', 'refunds_only', 'unscored')
    )
    or (
        lives.lifetime_status in ('withheld', 'refunds_only', 'unscored')
        and coalesce(
            lives.expected_purchases_lifetime, lives.clv_lifetime, lives.clv_1095d
        ) is not null
    )
    or (
        lives.lifetime_status = 'suppressed'
        and (
            lives.expected_purchases_lifetime != 0
            or lives.clv_lifetime != 0
            or lives.clv_lifetime_p90 != 0
        )
    )
    or (
        lives.lifetime_status in ('extrapolated', 'unchecked', 'lower_bound')
        and (
            lives.expected_purchases_lifetime is null
            or lives.expected_purchases_lifetime - lives.expected_purchases_lifetime
            != 0
            or years.expected_purchases_365d
            > lives.expected_purchases_1095d * {{ slack }}
            or lives.expected_purchases_1095d
            > lives.expected_purchases_lifetime * {{ slack }}
            or (lives.clv_lifetime is null) != (years.clv_365d is null)
            {%- for level in levels %}
            or lives.clv_lifetime{{ level }} - lives.clv_lifetime{{ level }} != 0
            or years.clv_365d{{ level }} < 0
            or years.clv_365d{{ level }} > lives.clv_1095d{{ level }} * {{ slack }}
            or lives.clv_1095d{{ level }} > lives.clv_lifetime{{ level }} * {{ slack }}
            or abs(
                lives.clv_total{{ level }} - lives.clv_lifetime{{ level }}
                - cast(lives.value_to_date_amount as {{ type_double() }})
            ) > 1e-6 * (1 + abs(lives.clv_total{{ level }}))
            {%- endfor %}
            {%- for span in ['1095d', 'lifetime'] %}
            or lives.clv_{{ span }}_p10 > lives.clv_{{ span }}_p50 * {{ slack }}
            or lives.clv_{{ span }}_p50 > lives.clv_{{ span }}_p90 * {{ slack }}
            {%- endfor %}
        )
    )
