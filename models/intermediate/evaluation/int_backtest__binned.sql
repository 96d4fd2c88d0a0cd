-- grain: one row per cutoff, horizon, method, stratum, frequency class, RFM segment, and 1 % wide bin
-- of the predicted and the actual: the sums that every metric of model_backtest is computed from
-- The predicted quantity is value, or purchases with var clv_value none. Methods: the spec is the served
-- forecast, purchase_model the same without corrections, overlay the overlay for every customer,
-- overlay_gated the overlay where the gate would have published it at that cutoff.
-- Ranks are taken from the bins, which bounds the rows: no worker sorts customers.
{%- set naive_methods = ['last_horizon', 'mean', 'rfm_cell_mean'] %}
{%- set overlay_methods = {
    'overlay': 'overlay.overlay_value',
    'overlay_gated': 'case when overlay.is_overlay then overlay.overlay_value '
        ~ 'else overlay.baseline_value end',
} if var('clv_overlay') else {} %}
{%- set other_methods = ['purchase_model'] + naive_methods + overlay_methods | list %}
{%- set is_valued = var('clv_value') != 'none' %}
{%- set measure = 'value' if is_valued else 'purchases' %}
{%- set pinball_levels = {'p10': 0.1, 'p50': 0.5, 'p90': 0.9} %}
-- The spec and its challengers; the champion is compared by the gate.
with specs as (

    select distinct
        model_version,
        cutoff_date
    from {{ ref('int_purchases__parameters') }}

),

predictions as (

    select scored.*
    from {{ ref('int_predictions__scored') }} as scored
    inner join specs
        on
            scored.cutoff_date = specs.cutoff_date
            and scored.model_version = specs.model_version
    where {{ before_as_of('scored.cutoff_date') }}

),

outcomes as (

    select *
    from {{ ref('int_histories__held_out') }}

),

naive as (

    select *
    from {{ ref('int_backtest__naive') }}

),

horizons as (

    {{ horizon_rows() | indent(4) }}

),

completed as (

    select
        outcomes.customer_id,
        predictions.model_version,
        predictions.is_current_spec,
        predictions.stratum,
        predictions.frequency_class,
        horizons.horizon_days,
        cast(
            {{ of_horizon('outcomes.' ~ measure) | indent(12) }} as {{ type_double() }}
        ) as actual,
        {{ of_horizon('expected.expected_' ~ measure) | indent(8) }} as expected,
        {{ of_horizon('expected.model_purchases') | indent(8) }}
        {{- ' * expected.expected_value' if is_valued }} as purchase_model,
        {{ of_horizon('predictions.clv') | indent(8) }} as clv,
        {%- for level in pinball_levels %}
        {{ of_horizon('predictions.clv', '_' ~ level) | indent(8) }} as clv_{{ level }},
        {%- endfor %}
        outcomes.cutoff_date
    from outcomes
    inner join predictions
        on
            outcomes.customer_id = predictions.customer_id
            and outcomes.cutoff_date = predictions.cutoff_date
    inner join {{ ref('int_predictions__expected') }} as expected
        on
            predictions.customer_id = expected.customer_id
            and predictions.cutoff_date = expected.cutoff_date
            and predictions.model_version = expected.model_version
    cross join horizons

),

joined as (

    select
        completed.*,
        {%- for method in naive_methods %}
        naive.{{ method }},
        {%- endfor %}
        rfm.segment as rfm_segment,
        {%- for method, value in overlay_methods.items() %}
        {{ value }} as {{ method }},
        {%- endfor %}
        completed.actual - spec.expected as model_error
    from completed
    inner join completed as spec
        on
            completed.customer_id = spec.customer_id
            and completed.cutoff_date = spec.cutoff_date
            and completed.horizon_days = spec.horizon_days
            and spec.is_current_spec
    inner join naive
        on
            completed.customer_id = naive.customer_id
            and completed.cutoff_date = naive.cutoff_date
            and completed.horizon_days = naive.horizon_days
    inner join {{ ref('int_customers__rfm_scored') }} as rfm
        on
            completed.customer_id = rfm.customer_id
            and completed.cutoff_date = rfm.cutoff_date
    {%- if overlay_methods %}
    left join {{ ref('int_overlay__gated') }} as overlay
        on
            completed.customer_id = overlay.customer_id
            and completed.cutoff_date = overlay.cutoff_date
            and completed.horizon_days = {{ var('clv_gate_horizon_days') }}
    {%- endif %}
    where
        completed.actual is not null
        and {{ before_as_of('rfm.cutoff_date') }}

),

methods as (

    select 'model' as method
    {%- for method in other_methods %}
    union all
    select '{{ method }}' as method
    {%- endfor %}

),

-- One row per model version; for the spec also one per other method.
compared as (

    select
        case
            when methods.method = 'model' then joined.model_version
            else methods.method
        end as method,
        joined.is_current_spec and methods.method = 'model' as is_current_spec,
        case methods.method
            when 'model' then joined.expected
            {%- for method in other_methods %}
            when '{{ method }}' then joined.{{ method }}
            {%- endfor %}
        end as predicted,
        {%- for level in pinball_levels %}
        -- Undiscounted, like the actual value.
        case
            when methods.method = 'model'
                then joined.clv_{{ level }} / joined.clv * joined.expected
        end as {{ level }},
        {%- endfor %}
        joined.cutoff_date,
        joined.horizon_days,
        joined.stratum,
        joined.frequency_class,
        joined.rfm_segment,
        joined.actual,
        joined.model_error
    from joined
    cross join methods
    where methods.method = 'model' or joined.is_current_spec

),

losses as (

    select
        *,
        {%- for level, tau in pinball_levels.items() %}
        case
            when actual >= {{ level }} then {{ tau }} * (actual - {{ level }})
            else {{ 1 - tau }} * ({{ level }} - actual)
        end as pinball_{{ level }},
        {%- endfor %}
        abs(actual - predicted) as absolute_error,
        (actual - predicted) * (actual - predicted) as squared_error,
        abs(actual - predicted) - abs(model_error) as absolute_excess,
        (actual - predicted) * (actual - predicted) - model_error * model_error
            as squared_excess
    from compared
    where predicted is not null

)

select
    cutoff_date,
    horizon_days,
    method,
    is_current_spec,
    stratum,
    frequency_class,
    rfm_segment,
    {%- for measured in ['predicted', 'actual'] %}
    -- Zero and negative values share one bin below all others.
    cast(
        case
            when {{ measured }} > 1e-9 then round(100 * ln({{ measured }})) else -9999
        end as {{ type_integer() }}
    ) as {{ measured }}_bin,
    {%- endfor %}
    sum(predicted) as predicted,
    sum(actual) as actual,
    sum(absolute_error) as absolute_error,
    sum(squared_error) as squared_error,
    sum(absolute_excess) as absolute_excess,
    sum(absolute_excess * absolute_excess) as absolute_excess_squared,
    sum(squared_excess) as squared_excess,
    sum(squared_excess * squared_excess) as squared_excess_squared,
    {%- for level in pinball_levels %}
    sum(pinball_{{ level }}) as pinball_{{ level }},
    {%- endfor %}
    count(*) as customers
from losses
group by 1, 2, 3, 4, 5, 6, 7, 8, 9
