-- grain: one row per customer of the sample, backtest cutoff and completed horizon
-- Probability integral transform: P(spend <= actual spend) under the predicted distribution, uniform if
-- the model is right. Without a purchase it is randomised by a hash between 0 and P(no purchase). The
-- grid of spend is searched by bisection.
{%- set grid = spend_grid() %}
{%- set sampled_customers = 200000 %}
with expected as (

    select *
    from {{ ref('int_predictions__expected') }}
    where is_current_spec and {{ before_as_of('cutoff_date') }}

),

outcomes as (

    select *
    from {{ ref('int_histories__held_out') }}

),

tabulated as (

    select *
    from {{ ref('int_expectations__wide') }}

),

sizes as (

    select
        cutoff_date,
        {{ sampled_customers }}
        / cast(count(*) as {{ type_double() }}) as sampled_share
    from outcomes
    group by 1

),

sampled as (

    select expected.*
    from expected
    inner join sizes
        on expected.cutoff_date = sizes.cutoff_date
    where
        {{ hash_bucket('expected.customer_id', 100000) }} < 100000 * sizes.sampled_share

),

completed as (

    {% for horizon in shaped('clv_horizons') -%}
    select
        sampled.customer_id,
        sampled.model_version,
        sampled.stratum,
        sampled.frequency_class,
        sampled.range_class,
        sampled.frequency,
        sampled.age_days,
        sampled.stage_quarters,
        {{ horizon }} as horizon_days,
        sampled.probability_purchase_{{ horizon }}d as probability_purchase,
        sampled.spend_scale_{{ horizon }}d as spend_scale,
        cast(outcomes.value_{{ horizon }}d as {{ type_double() }}) as spend,
        outcomes.purchases_{{ horizon }}d as purchases,
        sampled.cutoff_date
    from sampled
    inner join outcomes
        on
            sampled.customer_id = outcomes.customer_id
            and sampled.cutoff_date = outcomes.cutoff_date
    where outcomes.value_{{ horizon }}d is not null
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

-- Only customers who spent need the grid.
searched_0 as (

    {% for horizon in shaped('clv_horizons') -%}
    select
        completed.*,
        ln(completed.spend / completed.spend_scale) as ln_spend,
        tabulated.ln_spend_quantiles_{{ horizon }}d as ln_spend_quantiles,
        0 as node_0
    from completed
    inner join tabulated
        on
            completed.model_version = tabulated.model_version
            and completed.stratum = tabulated.stratum
            and completed.cutoff_date = tabulated.cutoff_date
            and completed.frequency = tabulated.frequency
            and completed.age_days = tabulated.age_days
            and completed.stage_quarters = tabulated.stage_quarters
    where completed.spend > 0 and completed.horizon_days = {{ horizon }}
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),
{% for step in [32, 16, 8, 4, 2, 1] %}
{%- set node = 'node_' ~ loop.index0 %}
{%- set further = 'least(' ~ node ~ ' + ' ~ step ~ ', ' ~ (grid.nodes - 2) ~ ')' %}
searched_{{ loop.index }} as (

    select
        *,
        case
            when ln_spend >= {{ array_at('ln_spend_quantiles', further) }}
                then {{ further }}
            else {{ node }}
        end as node_{{ loop.index }}
    from searched_{{ loop.index0 }}

),
{% endfor %}
{%- set left = array_at('ln_spend_quantiles', 'node_6') %}
{%- set right = array_at('ln_spend_quantiles', 'node_6 + 1') %}
located as (

    select
        *,
        -- ln(v / (1 - v)) of the level v given a purchase; the end segments are extended.
        {{ grid.first }} + {{ grid.step }} * (
            node_6
            + (ln_spend - {{ left }}) / greatest({{ right }} - {{ left }}, 1e-9)
        ) as logit_level
    from searched_6

)

select
    customer_id,
    model_version,
    stratum,
    frequency_class,
    range_class,
    horizon_days,
    1 - probability_purchase / (1 + exp(least(logit_level, 700.0))) as pit,
    cutoff_date
from located

union all

select
    customer_id,
    model_version,
    stratum,
    frequency_class,
    range_class,
    horizon_days,
    -- Purchases worth zero or less take the lowest place of the distribution given a purchase.
    (1 - probability_purchase) * case
        when purchases > 0 then 1
        else ({{ hash_bucket("concat(customer_id, '/pit')", 1000000) }} + 0.5) / 1000000
    end as pit,
    cutoff_date
from completed
where spend <= 0
