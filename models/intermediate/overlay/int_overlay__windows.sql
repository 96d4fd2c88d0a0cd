-- grain: one row per cutoff at which the overlay can be fitted, with the latest cutoff of known outcomes
{%- set actual = 'value_' ~ var('clv_gate_horizon_days') ~ 'd' %}
with cutoffs as (

    select *
    from {{ ref('int_cutoffs') }}

),

outcomes as (

    select
        outcomes.cutoff_date,
        avg(cast(outcomes.{{ actual }} as {{ type_double() }})) as mean_value,
        count(*) as customers
    from {{ ref('int_histories__held_out') }} as outcomes
    inner join {{ ref('int_customer_features') }} as features
        on
            outcomes.customer_id = features.customer_id
            and outcomes.cutoff_date = features.cutoff_date
    where outcomes.{{ actual }} is not null
    group by 1

)

select
    cutoffs.cutoff_date,
    outcomes.cutoff_date as train_cutoff_date,
    outcomes.customers,
    -- Added to every baseline: a customer with an expectation near zero may still buy.
    0.01 * outcomes.mean_value as floor_value
from cutoffs
inner join outcomes
    on
        {{ add_days('outcomes.cutoff_date', var('clv_gate_horizon_days')) }}
        <= cutoffs.cutoff_date
where
    outcomes.customers >= {{ var('clv_overlay_min_customers') }}
    and outcomes.mean_value > 0
qualify row_number() over (
    partition by cutoffs.cutoff_date
    order by outcomes.cutoff_date desc
) = 1
