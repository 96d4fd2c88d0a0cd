-- grain: one row per backtest cutoff, candidate, completed horizon and cohort group, and for everyone
-- Paired differences of losses, overlay less baseline, on outcomes after the cutoff.
{%- set horizons = shaped('clv_horizons') %}
{%- set fitted = var('clv_gate_horizon_days') %}
with expected as (

    select
        customer_id,
        {%- for horizon in horizons %}
        expected_value_{{ horizon }}d as value_{{ horizon }}d,
        {%- endfor %}
        cutoff_date
    from {{ ref('int_predictions__expected') }}
    where is_current_spec

),

overlay as (

    select *
    from {{ ref('int_overlay__predictions') }}

),

outcomes as (

    select *
    from {{ ref('int_histories__held_out') }}

),

paired as (

    {% for horizon in horizons -%}
    select
        overlay.cutoff_date,
        overlay.candidate,
        overlay.cohort_group,
        {{ horizon }} as horizon_days,
        cast(outcomes.value_{{ horizon }}d as {{ type_double() }}) as actual,
        expected.value_{{ horizon }}d as baseline,
        {{ overlaid(
            horizon, 'expected.value_' ~ horizon ~ 'd', 'expected.value_' ~ fitted ~ 'd',
            'overlay'
        ) }} as overlaid
    from overlay
    inner join expected
        on
            overlay.customer_id = expected.customer_id
            and overlay.cutoff_date = expected.cutoff_date
    inner join outcomes
        on
            overlay.customer_id = outcomes.customer_id
            and overlay.cutoff_date = outcomes.cutoff_date
    where outcomes.value_{{ horizon }}d is not null
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

losses as (

    select
        *,
        power(overlaid - actual, 2) as overlaid_squared,
        power(baseline - actual, 2) as baseline_squared,
        power(overlaid - actual, 2) - power(baseline - actual, 2) as squared_excess,
        abs(overlaid - actual) - abs(baseline - actual) as absolute_excess
    from paired

)

{% for group in ['cohort_group', "'everyone'"] -%}
select
    cutoff_date,
    candidate,
    horizon_days,
    {{ group }} as cohort_group,
    sum(actual) as actual,
    sum(baseline) as baseline,
    sum(overlaid) as overlaid,
    sum(baseline_squared) as baseline_squared,
    sum(overlaid_squared) as overlaid_squared,
    {%- for excess in ['squared_excess', 'absolute_excess'] %}
    sum({{ excess }}) as {{ excess }},
    sum({{ excess }} * {{ excess }}) as {{ excess }}_squared,
    {%- endfor %}
    count(*) as customers
from losses
group by 1, 2, 3, 4
{{- '\n\nunion all\n\n' if not loop.last }}
{%- endfor %}
