-- grain: one row per customer and model version scored at the as-of date: the forecast beyond the horizons
-- Up to 365 days it is the corrected forecast. What the purchase model adds after them carries the floor and
-- the forgetting of that horizon, which borrows them from the longest horizon with a completed window;
-- blends, of sums over a window, are not carried on. Ranges are read at the levels of that horizon, too.
{%- set models = scored_models() %}
{%- set has_stages = models | select('in', staged_models()) | list | length > 0 %}
{%- set spans = ['1095d', 'lifetime'] %}
{%- set levels = ['p10', 'p50', 'p90'] %}
with cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}
    where is_production

),

expected as (

    select expected.*
    from {{ ref('int_predictions__expected') }} as expected
    inner join cutoffs
        on
            expected.cutoff_date = cutoffs.cutoff_date
            and {{ at_as_of('expected.cutoff_date') }}

),

alive as (

    select alive.*
    from {{ ref('int_predictions__alive') }} as alive
    inner join cutoffs
        on
            alive.cutoff_date = cutoffs.cutoff_date
            and {{ at_as_of('alive.cutoff_date') }}

),

tabulated as (

    select *
    from {{ ref('int_expectations__lifetime') }}

),

-- A daily run does not calibrate: it uses the levels of the last full run.
learned as (

    select max(cutoff_date) as learned_on
    from {{ ref('int_calibration') }}

),

calibration as (

    select
        levels.stratum,
        levels.range_class,
        max(case when levels.horizon_days = 365 then levels.p10_read end)
            as tail_365d
    from {{ ref('int_calibration') }} as levels
    inner join learned
        on levels.cutoff_date = learned.learned_on
    group by 1, 2

),

-- Given alive, on average over the stages that they may be in.
given_alive as (

    select
        {%- for span in spans %}
        {%- for name, measure in {
            'purchases': 'expected_purchases', 'discounted': 'discounted_purchases',
            'chance': 'probability_purchase',
        }.items() %}
        {%- set horizon = 1095 if span == '1095d' else span %}
        {{ over_stages([measure], horizon, has_stages) | indent(8) }}
            as {{ name }}_if_alive_{{ span }},
        {%- endfor %}
        {%- endfor %}
        alive.purchases_if_alive_365d,
        alive.discounted_if_alive_365d,
        alive.spend_scale,
        alive.customer_id,
        alive.model_version
    from alive
    {{ joined_stages(has_stages) | indent(4) }}

),

continued as (

    select
        expected.customer_id,
        expected.model_version,
        expected.stratum,
        expected.frequency,
        expected.age_days,
        expected.stage_quarters,
        expected.range_class,
        expected.probability_purchase_365d,
        expected.expected_value,
        expected.clv_365d,
        given_alive.spend_scale,
        {%- for span in spans %}
        expected.probability_alive_beyond * given_alive.chance_if_alive_{{ span }}
            as base_chance_{{ span }},
        expected.probability_alive_beyond * given_alive.purchases_if_alive_{{ span }}
            as base_purchases_{{ span }},
        expected.expected_purchases_365d
        + expected.probability_alive_beyond * expected.factor_beyond
        * greatest(
            given_alive.purchases_if_alive_{{ span }}
            - given_alive.purchases_if_alive_365d, 0.0
        ) as expected_purchases_{{ span }},
        expected.clv_365d
        + expected.probability_alive_beyond * expected.factor_beyond
        * expected.expected_value * greatest(
            given_alive.discounted_if_alive_{{ span }}
            - given_alive.discounted_if_alive_365d, 0.0
        ) as clv_{{ span }},
        {%- endfor %}
        expected.cutoff_date
    from expected
    inner join given_alive
        on
            expected.customer_id = given_alive.customer_id
            and expected.model_version = given_alive.model_version

),

likely as (

    select
        {%- for span in spans %}
        greatest(
            probability_purchase_365d,
            {{ corrected_chance(
                'expected_purchases_' ~ span, 'base_purchases_' ~ span, 'base_chance_' ~ span
            ) | indent(12) }}
        ) as probability_purchase_{{ span }},
        {%- endfor %}
        *
    from continued

),

located as (

    select
        {%- for span in spans %}
        {%- for level, above in value_levels(365).items() if level in levels %}
        {{ grid_position('likely.probability_purchase_' ~ span, above) | indent(8) }}
            as position_{{ span }}_{{ level }},
        {%- endfor %}
        -- Given a purchase, the table's mean spend is purchases * value of one / chance.
        likely.clv_{{ span }} * likely.spend_scale
        * tabulated.probability_purchase_{{ span }} / nullif(
            likely.probability_purchase_{{ span }}
            * tabulated.expected_purchases_{{ span }} * likely.expected_value, 0
        ) as spend_scale_{{ span }},
        tabulated.ln_spend_quantiles_{{ span }},
        {%- endfor %}
        likely.*
    from likely
    inner join tabulated
        on
            likely.model_version = tabulated.model_version
            and likely.stratum = tabulated.stratum
            and likely.cutoff_date = tabulated.cutoff_date
            and likely.frequency = tabulated.frequency
            and likely.age_days = tabulated.age_days
            and likely.stage_quarters = tabulated.stage_quarters
    left join calibration
        on
            likely.stratum = calibration.stratum
            and likely.range_class = calibration.range_class

),

bracketed as (

    select
        {%- for span in spans %}
        {%- for level in levels %}
        {%- set position = 'position_' ~ span ~ '_' ~ level %}
        {{ grid_node(position) | indent(8) }} as node_{{ span }}_{{ level }},
        {%- endfor %}
        {%- endfor %}
        *
    from located

)

select
    customer_id,
    model_version,
    clv_365d,
    {%- for span in spans %}
    {%- set quantiles = 'ln_spend_quantiles_' ~ span %}
    probability_purchase_{{ span }},
    expected_purchases_{{ span }},
    clv_{{ span }},
    {%- for level in levels %}
    {%- set position = 'position_' ~ span ~ '_' ~ level %}
    {%- set node = 'node_' ~ span ~ '_' ~ level %}
    case
        when {{ position }} is null then 0.0 * spend_scale_{{ span }}
        else
            spend_scale_{{ span }}
            * {{ grid_quantile(quantiles, position, node) | indent(12) }}
    end as clv_{{ span }}_{{ level }},
    {%- endfor %}
    {%- endfor %}
    cutoff_date
from bracketed
