-- grain: one row per cutoff to score and sampled customer, with features at the training cutoff
-- The only rows that leave the warehouse: without customer id, at most 100,000 a cutoff.
with features as (

    select *
    from {{ ref('int_customer_features') }}

),

outcomes as (

    select
        customer_id,
        cutoff_date,
        cast(value_{{ var('clv_gate_horizon_days') }}d as {{ type_double() }})
            as actual
    from {{ ref('int_histories__held_out') }}

)

select
    windows.cutoff_date,
    windows.train_cutoff_date,
    {{ surrogate_key(['features.customer_id']) }} as row_key,
    {%- for feature in overlay_features() %}
    features.{{ feature }},
    {%- endfor %}
    features.baseline_value + windows.floor_value as offset_value,
    outcomes.actual
from {{ ref('int_overlay__windows') }} as windows
inner join features
    on windows.train_cutoff_date = features.cutoff_date
inner join outcomes
    on
        features.customer_id = outcomes.customer_id
        and features.cutoff_date = outcomes.cutoff_date
