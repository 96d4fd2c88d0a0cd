-- grain: one row per model version, stratum, cutoff, frequency, age and stage: every horizon, given alive
{%- set grid = spend_grid() %}
{%- set horizons = shaped('clv_horizons') %}
{%- set shortest = 'in_' ~ horizons[0] ~ '_days' %}
{#- Probability mass of a node: half way to its neighbours; end nodes include the tails. #}
{%- set bounds = [] %}
{%- for node in range(grid.nodes - 1) %}
{%- do bounds.append(1 / (1 + 2.718281828459045 ** -(grid.first + grid.step * (node + 0.5)))) %}
{%- endfor %}
with tabulated as (

    select
        model_version,
        stratum,
        cutoff_date,
        frequency,
        age_days,
        stage_quarters,
        horizon_days,
        expected_purchases,
        discounted_purchases,
        probability_purchase,
        -- Null without a value model, and arrays may not hold nulls.
        [
            {%- for node in range(grid.nodes) %}
            coalesce(ln_spend_q{{ '%02d' % node }}, 0.0){{ ',' if not loop.last }}
            {%- endfor %}
        ] as ln_spend_quantiles,
        {%- for node in range(grid.nodes) %}
        {%- set left = bounds[node - 1] if node else 0 %}
        {%- set right = bounds[node] if node < grid.nodes - 1 else 1 %}
        {{ '+ ' if node }}{{ '%.8f' % (right - left) }}
        * exp(2 * ln_spend_q{{ '%02d' % node }})
        {%- endfor %} as squared_spend
    from {{ ref('int_expectations') }}

)

select
    {{ shortest }}.model_version,
    {{ shortest }}.stratum,
    {{ shortest }}.frequency,
    {{ shortest }}.age_days,
    {{ shortest }}.stage_quarters,
    {%- for horizon in horizons %}
    in_{{ horizon }}_days.expected_purchases as expected_purchases_{{ horizon }}d,
    in_{{ horizon }}_days.discounted_purchases as discounted_purchases_{{ horizon }}d,
    in_{{ horizon }}_days.probability_purchase as probability_purchase_{{ horizon }}d,
    in_{{ horizon }}_days.ln_spend_quantiles as ln_spend_quantiles_{{ horizon }}d,
    in_{{ horizon }}_days.squared_spend as squared_spend_{{ horizon }}d,
    {%- endfor %}
    {{ shortest }}.cutoff_date
from tabulated as {{ shortest }}
{% for horizon in horizons[1:] %}
inner join tabulated as in_{{ horizon }}_days
    on
        {{ shortest }}.model_version = in_{{ horizon }}_days.model_version
        and {{ shortest }}.stratum = in_{{ horizon }}_days.stratum
        and {{ shortest }}.cutoff_date = in_{{ horizon }}_days.cutoff_date
        and {{ shortest }}.frequency = in_{{ horizon }}_days.frequency
        and {{ shortest }}.age_days = in_{{ horizon }}_days.age_days
        and {{ shortest }}.stage_quarters = in_{{ horizon }}_days.stage_quarters
        and in_{{ horizon }}_days.horizon_days = {{ horizon }}
{%- endfor %}
where {{ shortest }}.horizon_days = {{ horizons[0] }}
