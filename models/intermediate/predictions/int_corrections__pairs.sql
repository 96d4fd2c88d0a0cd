-- grain: one row per sampled customer, completed window, horizon and cutoff by which it had ended
-- The purchase model's expectation, the inputs of its corrections and the actuals. A table, because each
-- part of int_corrections reads it again.
{%- set horizons = shaped('clv_horizons') %}
{%- set sampled_customers = 50000 %}
with cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}

),

spec as (

    select *
    from {{ ref('int_predictions__alive') }}
    where is_current_spec and {{ before_as_of('cutoff_date') }}

),

-- Forgetting redistributes expected purchases between customers; the total is unchanged.
totals as (

    select
        cutoff_date,
        {%- for days in forgetting_days() %}
        round(
            sum(probability_alive * purchase_rate)
            / nullif(
                sum(probability_alive * forgetting_{{ days }}d * purchase_rate), 0
            ),
            9
        ) as total_{{ days }}d,
        {%- endfor %}
        {{ sampled_customers }} / cast(count(*) as {{ type_double() }}) as sampled_share
    from spec
    group by 1

),

horizons as (

    {{ horizon_rows() | indent(4) }}

),

paired as (

    select
        spec.customer_id,
        spec.cutoff_date as window_date,
        horizons.horizon_days,
        spec.probability_alive,
        spec.expected_value as mean_value,
        greatest(
            spec.probability_alive
            * {{ of_horizon('spec.purchases_if_alive') | indent(12) }}, 1e-12
        ) as expected_purchases,
        {%- for days in forgetting_days() %}
        totals.total_{{ days }}d * spec.forgetting_{{ days }}d
            as forgetting_{{ days }}d,
        {%- endfor %}
        {%- for own in ['purchases', 'value'] %}
        {{ of_horizon('spec.own_' ~ own) | indent(8) }} as own_{{ own }},
        cast(
            {{ of_horizon('outcomes.' ~ own) | indent(12) }} as {{ type_double() }}
        ) as {{ own }},
        {%- endfor %}
        spec.cutoff_date
    from spec
    inner join totals
        on
            spec.cutoff_date = totals.cutoff_date
            and {{ hash_bucket('spec.customer_id', 100000) }}
            < 100000 * totals.sampled_share
    inner join {{ ref('int_histories__held_out') }} as outcomes
        on
            spec.customer_id = outcomes.customer_id
            and spec.cutoff_date = outcomes.cutoff_date
    cross join horizons

)

-- Windows completed by each cutoff.
select
    paired.customer_id,
    paired.window_date,
    paired.horizon_days,
    1 / greatest(paired.probability_alive, 1e-12) - 1 as left_odds,
    paired.mean_value,
    paired.expected_purchases,
    {%- for days in forgetting_days() %}
    paired.forgetting_{{ days }}d,
    {%- endfor %}
    paired.own_purchases,
    paired.own_value,
    paired.purchases,
    paired.value,
    cutoffs.cutoff_date
from paired
inner join cutoffs
    on
        {{ add_days('paired.window_date', 'paired.horizon_days') }}
        <= cutoffs.cutoff_date
where paired.purchases is not null
