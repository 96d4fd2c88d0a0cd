-- grain: one row per cutoff, horizon and correction of the purchase model
-- The date since which a correction serves follows from this run's cutoffs, at each of which it was
-- learned from data up to that cutoff. A season is learned with the parameters, over the gate's horizon.
{%- set parts = {
    'season': ('season_weight', 'null', 'season_gain'),
    'forgetting': ('forgetting_share', 'corrections.forgetting_days', 'forgetting_gain'),
    'alive_floor': ('alive_floor', 'null', 'floor_gain'),
    'level': ('level_shift', 'null', 'level_gain'),
    'own_purchases': ('purchases_weight', 'null', 'purchases_gain'),
    'own_value': ('value_weight', 'null', 'value_gain'),
} %}
with parts as (

    {% for part, (weight, setting, gain) in parts.items() -%}
    select
        corrections.cutoff_date,
        cutoffs.is_production,
        corrections.horizon_days,
        '{{ part }}' as correction,
        corrections.{{ weight }} as weight,
        cast({{ setting }} as {{ type_integer() }}) as time_constant_days,
        case when corrections.{{ weight }} != 0 then corrections.{{ gain }} end as gain,
        corrections.learned_horizon_days,
        corrections.windows,
        corrections.customers
    from {{ ref('int_corrections') }} as corrections
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on corrections.cutoff_date = cutoffs.cutoff_date
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

runs as (

    select
        *,
        max(case when weight = 0 then cutoff_date end) over (
            partition by horizon_days, correction
            order by cutoff_date
            rows between unbounded preceding and current row
        ) as last_off
    from parts

)

select
    cutoff_date,
    is_production,
    cast(horizon_days as {{ type_integer() }}) as horizon_days,
    correction,
    weight != 0 as is_served,
    weight,
    time_constant_days,
    gain,
    case
        when weight != 0
            then min(case when weight != 0 then cutoff_date end) over (
                partition by horizon_days, correction, last_off
            )
    end as served_since,
    cast(
        case
            when correction != 'season' then learned_horizon_days
            when weight != 0 then {{ var('clv_gate_horizon_days') }}
        end as {{ type_integer() }}
    ) as learned_horizon_days,
    case when correction != 'season' then windows end as windows,
    case when correction != 'season' then customers end as customers
from runs
