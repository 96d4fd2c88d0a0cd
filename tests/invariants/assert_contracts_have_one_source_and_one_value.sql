-- Where contract_lifetime has numbers of a buyer with a billing period, customer_lifetime_value and
-- customer_lifetime have the same, and say contract; nobody else does. Customers on a plan are in no fit
-- and in no backtest.
with contracts as (

    select
        *,
        first_purchase_date is not null
        and billing_period_days is not null
        and expected_renewals_lifetime is not null as is_served
    from {{ ref('contract_lifetime') }}

),

listed as (

    select customer_id
    from {{ ref('int_contracts__listed') }}
    where billing_period_days is not null

)

select
    scores.customer_id,
    'source' as fault
from {{ ref('customer_lifetime_value') }} as scores
left join contracts
    on scores.customer_id = contracts.customer_id
where (scores.clv_source = 'contract') != coalesce(contracts.is_served, false)

union all

select
    contracts.customer_id,
    'value' as fault
from contracts
left join {{ ref('customer_lifetime_value') }} as scores
    on contracts.customer_id = scores.customer_id
left join {{ ref('customer_lifetime') }} as lives
    on contracts.customer_id = lives.customer_id
where
    contracts.is_served
    and (
        (scores.clv_365d is null) != (contracts.clv_365d is null)
        {%- for horizon in [30, 90, 180, 365] %}
        or scores.expected_purchases_{{ horizon }}d
        != contracts.expected_renewals_{{ horizon }}d
        {%- for level in ['', '_p10', '_p50', '_p90'] %}
        or scores.clv_{{ horizon }}d{{ level }}
        != contracts.clv_{{ horizon }}d{{ level }}
        {%- endfor %}
        {%- endfor %}
        {%- for level in ['', '_p10', '_p50', '_p90'] %}
        or abs(lives.clv_lifetime{{ level }} - contracts.clv_lifetime{{ level }})
        > 1e-9 * contracts.clv_lifetime{{ level }}
        {%- endfor %}
    )

{%- for model, fault in {
    'int_histories__sampled': 'fit', 'int_histories__held_out': 'backtest',
}.items() %}

union all

select
    histories.customer_id,
    '{{ fault }}' as fault
from {{ ref(model) }} as histories
inner join listed
    on histories.customer_id = listed.customer_id
{%- endfor %}
