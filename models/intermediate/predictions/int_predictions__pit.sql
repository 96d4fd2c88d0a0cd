-- grain: one row per customer of the sample, backtest cutoff and matured horizon
-- Where what came lies in the distribution that was predicted: P(spend <= what came), evenly
-- spread when the model is right. No purchase falls within its probability, at a place that a
-- hash decides.
{%- set grid = outlook_grid() %}
with expected as (

    select *
    from {{ ref('int_predictions__expected') }}
    where is_recipe

),

outcomes as (

    select *
    from {{ ref('int_histories__held_out') }}

),

outlook as (

    select *
    from {{ ref('int_outlook__wide') }}

),

sizes as (

    select
        cutoff_date,
        {{ var('clv_calibration_max_customers') }}
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

horizons as (

    {{ horizon_rows() | indent(4) }}

),

matured as (

    select
        sampled.customer_id,
        sampled.model_version,
        sampled.stratum,
        sampled.frequency_class,
        horizons.horizon_days,
        {{ of_horizon('sampled.probability_purchase') | indent(8) }}
            as probability_purchase,
        sampled.spend_scale,
        cast(
            {{ of_horizon('outcomes.value') | indent(12) }} as {{ type_double() }}
        ) as spend,
        {{ of_horizon('outcomes.purchases') | indent(8) }} as purchases,
        {{ of_horizon('outlook.ln_spend_quantiles') | indent(8) }}
            as ln_spend_quantiles,
        sampled.cutoff_date
    from sampled
    inner join outcomes
        on
            sampled.customer_id = outcomes.customer_id
            and sampled.cutoff_date = outcomes.cutoff_date
    inner join outlook
        on
            sampled.model_version = outlook.model_version
            and sampled.stratum = outlook.stratum
            and sampled.cutoff_date = outlook.cutoff_date
            and sampled.frequency = outlook.frequency
            and sampled.age_days = outlook.age_days
    cross join horizons

),

-- Only those who spent need the grid.
compared as (

    select
        *,
        case when spend > 0 then ln(spend / spend_scale) end as ln_spend
    from matured
    where spend is not null

),

-- The node to the left; the end segments are extended.
bracketed as (

    select
        *,
        greatest(
            least(
                {{ count_up_to('ln_spend_quantiles', 'ln_spend') }} - 1,
                {{ grid.nodes - 2 }}
            ), 0
        ) as node
    from compared

),

{%- set left = array_at('ln_spend_quantiles', 'node') %}
{%- set right = array_at('ln_spend_quantiles', 'node + 1') %}

located as (

    select
        *,
        -- ln(v / (1 - v)) of the level v given a purchase.
        {{ grid.first }} + {{ grid.step }} * (
            node + (ln_spend - {{ left }}) / greatest({{ right }} - {{ left }}, 1e-9)
        ) as logit_level
    from bracketed

)

select
    customer_id,
    model_version,
    stratum,
    frequency_class,
    horizon_days,
    case
        when spend > 0
            then 1 - probability_purchase / (1 + exp(least(logit_level, 700.0)))
        else
            -- Purchases that brought nothing are the least that can be spent.
            (1 - probability_purchase) * case
                when purchases > 0 then 1
                else
                    ({{ hash_bucket("concat(customer_id, '/pit')", 1000000) }} + 0.5)
                    / 1000000
            end
    end as pit,
    cutoff_date
from located
