-- grain: one row per scheme, backtest cutoff, completed horizon and segment
{%- set measure = 'purchases' if var('clv_value') == 'none' else 'value' %}
with ruled as (

    select *
    from {{ ref('int_segments__ruled') }}
    where not is_production and {{ before_as_of('cutoff_date') }}

),

scores as (

    select *
    from {{ ref('int_customers__rfm_scored') }}
    where {{ before_as_of('cutoff_date') }}

),

held_out as (

    select *
    from {{ ref('int_histories__held_out') }}

),

members as (

    select
        {%- for horizon in shaped('clv_horizons') %}
        held_out.purchases_{{ horizon }}d,
        cast(held_out.{{ measure }}_{{ horizon }}d as {{ type_double() }})
            as actual_{{ horizon }}d,
        {%- endfor %}
        ruled.purchase_days,
        ruled.segment as clv_segment,
        scores.segment as rfm_segment,
        ruled.cutoff_date
    from ruled
    inner join scores
        on
            ruled.customer_id = scores.customer_id
            and ruled.cutoff_date = scores.cutoff_date
    inner join held_out
        on
            ruled.customer_id = held_out.customer_id
            and ruled.cutoff_date = held_out.cutoff_date

),

summed as (

    {%- for scheme in ['clv', 'rfm'] %}
    {%- set is_last_scheme = loop.last %}
    {%- for horizon in shaped('clv_horizons') %}
    select
        '{{ scheme }}' as scheme,
        cutoff_date,
        {{ horizon }} as horizon_days,
        {{ scheme }}_segment as segment,
        count(*) as customers,
        avg(purchase_days) as mean_purchase_days,
        avg(case when purchases_{{ horizon }}d > 0 then 1.0 else 0.0 end)
            as share_buying,
        sum(actual_{{ horizon }}d) as actual_value,
        sum(actual_{{ horizon }}d * actual_{{ horizon }}d) as squares
    from members
    where actual_{{ horizon }}d is not null
    group by 1, 2, 3, 4
    {{- '\n\n    union all\n' if not (loop.last and is_last_scheme) }}
    {%- endfor %}
    {%- endfor %}

),

{%- set everyone = 'over (partition by scheme, cutoff_date, horizon_days)' %}

compared as (

    select
        *,
        actual_value / customers as actual_value_per_customer,
        sum(customers) {{ everyone }} as all_customers,
        sum(actual_value) {{ everyone }} as all_value,
        sum(squares) {{ everyone }} as all_squares,
        sum(actual_value * actual_value / customers) {{ everyone }}
            as squares_between
    from summed

)

select
    scheme,
    cutoff_date,
    horizon_days,
    segment,
    customers,
    mean_purchase_days,
    share_buying,
    actual_value,
    actual_value_per_customer,
    cast(customers as {{ type_double() }}) / all_customers as share_of_customers,
    actual_value / nullif(all_value, 0) as share_of_value,
    actual_value_per_customer / nullif(all_value / all_customers, 0) as value_lift,
    -- Share of variance explained: sum of squares between the segments over the total.
    (squares_between - all_value * all_value / all_customers)
    / nullif(all_squares - all_value * all_value / all_customers, 0)
        as between_segment_r2
from compared
