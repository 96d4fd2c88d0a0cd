-- grain: one row per customer, cutoff and model version: what it expects of her after the cutoff
-- Given that she is alive the future depends on frequency and age only, so it is looked up; when
-- she last bought moves P(alive) alone, which is closed form (models/overview.md).
{%- set horizons = var('clv_horizons') %}
{#- Every published level of value, and the probability that value lies above it. #}
{%- set levels = {'p10': 0.9, 'p50': 0.5, 'p90': 0.1} %}
{%- set grid = outlook_grid() %}
with histories as (

    select *
    from {{ ref('int_histories__observed') }}

),

parameters as (

    select *
    from {{ ref('int_parameters') }}

),

outlook as (

    select *
    from {{ ref('int_outlook__wide') }}

),

modelled as (

    select
        histories.customer_id,
        histories.frequency,
        histories.recency_days,
        histories.age_days,
        histories.purchase_days,
        {{ leaving_from() }} as leaving_from,
        {{ leaving_span() | indent(8) }} as leaving_span,
        -- Spend of k purchases is this scale times BetaPrime(p k, q + p n); n = purchase days.
        parameters.gamma + histories.purchase_days * histories.capped_mean_value
            as spend_scale,
        parameters.*
    from histories
    inner join parameters
        on
            histories.stratum = parameters.stratum
            and histories.cutoff_date = parameters.cutoff_date

),

alive as (

    select
        customer_id,
        model_version,
        is_recipe,
        purchase_model,
        stratum,
        frequency,
        age_days,
        cutoff_date,
        {{ probability_alive() | indent(8) }} as probability_alive,
        spend_scale,
        -- Posterior mean of the value of one purchase day (Fader & Hardie 2013, note 025).
        p * spend_scale / (p * purchase_days + q - 1) as expected_value
    from modelled

),

expected as (

    select
        alive.customer_id,
        alive.model_version,
        alive.is_recipe,
        alive.purchase_model,
        alive.probability_alive,
        alive.expected_value,
        alive.spend_scale,
        {%- for horizon in horizons %}
        alive.probability_alive * outlook.probability_purchase_{{ horizon }}d
            as probability_purchase_{{ horizon }}d,
        alive.probability_alive * outlook.expected_purchases_{{ horizon }}d
            as expected_purchases_{{ horizon }}d,
        alive.probability_alive * outlook.discounted_purchases_{{ horizon }}d
        * alive.expected_value as clv_{{ horizon }}d,
        -- Quantiles of value: those of spend, discounted as the expectation is.
        outlook.discounted_purchases_{{ horizon }}d
        / outlook.expected_purchases_{{ horizon }}d as discount_{{ horizon }}d,
        outlook.ln_spend_quantiles_{{ horizon }}d,
        {%- endfor %}
        alive.cutoff_date
    from alive
    inner join outlook
        on
            alive.model_version = outlook.model_version
            and alive.stratum = outlook.stratum
            and alive.cutoff_date = outlook.cutoff_date
            and alive.frequency = outlook.frequency
            and alive.age_days = outlook.age_days

),

-- Where each level falls on the grid of spend given a purchase: v = 1 - (1 - level) / P(purchase).
-- Null when the level lies within the chance of no purchase at all: the quantile is then 0.
located as (

    select
        {%- for horizon in horizons %}
        {%- set probability = 'probability_purchase_' ~ horizon ~ 'd' %}
        {%- for level, above in levels.items() %}
        case
            when {{ probability }} > {{ above }}
                then (
                    ln(({{ probability }} - {{ above }}) / {{ above }})
                    - ({{ grid.first }})
                ) / {{ grid.step }}
        end as position_{{ horizon }}d_{{ level }},
        {%- endfor %}
        {%- endfor %}
        *
    from expected

),

-- The node to the left; the end segments are extended beyond the grid.
bracketed as (

    select
        {%- for horizon in horizons %}
        {%- for level in levels %}
        {%- set position = 'position_' ~ horizon ~ 'd_' ~ level %}
        cast(
            case
                when {{ position }} < 0 then 0
                when {{ position }} > {{ grid.nodes - 2 }} then {{ grid.nodes - 2 }}
                else floor({{ position }})
            end as {{ type_integer() }}
        ) as node_{{ horizon }}d_{{ level }},
        {%- endfor %}
        {%- endfor %}
        *
    from located

)

select
    customer_id,
    model_version,
    is_recipe,
    purchase_model,
    probability_alive,
    expected_value,
    {%- for horizon in horizons %}
    {%- set quantiles = 'ln_spend_quantiles_' ~ horizon ~ 'd' %}
    probability_purchase_{{ horizon }}d,
    expected_purchases_{{ horizon }}d,
    clv_{{ horizon }}d,
    {%- for level in levels %}
    {%- set position = 'position_' ~ horizon ~ 'd_' ~ level %}
    {%- set node = 'node_' ~ horizon ~ 'd_' ~ level %}
    {%- set left = array_at(quantiles, node) %}
    {%- set right = array_at(quantiles, node ~ ' + 1') %}
    case
        when {{ position }} is null then 0.0 * spend_scale
        else spend_scale * discount_{{ horizon }}d * exp(
            {{ left }} + ({{ position }} - {{ node }}) * ({{ right }} - {{ left }})
        )
    end as clv_{{ horizon }}d_{{ level }},
    {%- endfor %}
    {%- endfor %}
    cutoff_date
from bracketed
