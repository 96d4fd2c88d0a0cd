-- grain: one row per cutoff: the cut-points in use, frozen in production, computed in a backtest
{%- set columns = [
    'vip_clv', 'notable_clv', 'valuable_clv', 'historic_value', 'outlier_value_365d',
    'outlier_purchases_365d', 'outlier_mean_value', 'promising_clv', 'inactivity_days',
] %}
with cutoffs as (

    select *
    from {{ ref('int_cutoffs') }}

),

{%- if not is_daily() %}

computed as (

    select *
    from {{ ref('int_segments__computed_cut_points') }}

),
{%- endif %}

frozen as (

    select memory.*
    from {{ ref('int_segments__frozen_cut_points') }} as memory
    {{ seen('memory', 'effective_date') | indent(4) }}
    where memory.settings = '{{ cut_point_settings() }}'

),

in_force as (

    select
        frozen.*,
        cutoffs.cutoff_date
    from cutoffs
    inner join frozen
        on cutoffs.cutoff_date >= frozen.effective_date
    where cutoffs.is_production
    qualify row_number() over (
        partition by cutoffs.cutoff_date
        order by frozen.effective_date desc
    ) = 1

)

{% if is_daily() -%}
-- A daily run computes none; the next full run does if they are due.
select
    cutoff_date,
    effective_date,
    {{ columns | join(',\n    ') }}
from in_force
{%- else -%}
select
    {%- for column in columns %}
    case
        when in_force.effective_date is null then computed.{{ column }}
        else in_force.{{ column }}
    end as {{ column }},
    {%- endfor %}
    computed.cutoff_date,
    coalesce(in_force.effective_date, computed.cutoff_date) as effective_date
from computed
left join in_force
    on computed.cutoff_date = in_force.cutoff_date
{%- endif %}
