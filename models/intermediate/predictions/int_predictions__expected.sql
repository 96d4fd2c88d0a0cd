-- grain: one row per customer, cutoff and model version: the expectations, without ranges
-- The purchase model's expectation given alive is looked up by frequency and age; times P(alive) it is the
-- model's forecast. The corrections of int_corrections turn it into the served forecast; challengers are
-- not corrected. At the as-of date customers on a plan have the numbers of their contract, by every version.
{%- set horizons = shaped('clv_horizons') %}
{%- set gate_horizon = var('clv_gate_horizon_days') %}
{#- The horizon whose corrections serve beyond the horizons (int_predictions__lifetime). #}
{%- set last = 365 if 365 in horizons else horizons | max %}
with alive as (

    select *
    from {{ ref('int_predictions__alive') }}

),

challengers as (

    select false as is_challenger
    union all
    select true as is_challenger

),

-- The corrections by horizon; neutral for challengers.
corrections as (

    select
        learned.cutoff_date,
        challengers.is_challenger,
        {%- for horizon in horizons %}
        {%- for days in forgetting_days() %}
        max(
            case
                when challengers.is_challenger then 0.0
                when
                    learned.horizon_days = {{ horizon }}
                    and learned.forgetting_days = {{ days }}
                    then learned.forgetting_share
                else 0.0
            end
        ) as forgetting_{{ days }}_{{ horizon }}d,
        {%- endfor %}
        {%- for column in [
            'alive_floor', 'level_shift', 'purchases_weight', 'value_weight'
        ] %}
        sum(
            case
                when challengers.is_challenger then 0.0
                when learned.horizon_days = {{ horizon }} then learned.{{ column }}
                else 0.0
            end
        ) as {{ column }}_{{ horizon }}d,
        {%- endfor %}
        {%- endfor %}
        max(
            case
                when challengers.is_challenger then 0.0
                when learned.horizon_days = {{ gate_horizon }} then learned.alive_floor
                else 0.0
            end
        ) as alive_floor
    from {{ ref('int_corrections') }} as learned
    cross join challengers
    {%- if is_daily() %}
    -- A daily run does not learn corrections: it uses those of the last full run.
    where learned.cutoff_date = (
        select max(latest.cutoff_date) from {{ ref('int_corrections') }} as latest
    )
    {%- endif %}
    group by 1, 2

),

bounds as (

    select *
    from {{ ref('int_calibration__bounds') }}
    {%- if is_daily() %}
    where cutoff_date = (
        select max(latest.cutoff_date) from {{ ref('int_calibration__bounds') }} as latest
    )
    {%- endif %}

),

-- Forgetting redistributes expected purchases between customers; the total is unchanged.
totals as (

    select
        model_version,
        cutoff_date,
        {%- for days in forgetting_days() %}
        round(
            sum(probability_alive * purchase_rate)
            / nullif(
                sum(probability_alive * forgetting_{{ days }}d * purchase_rate), 0
            ),
            9
        ) as total_{{ days }}d,
        {%- endfor %}
        count(*) as customers
    from alive
    where is_on_plan is not true
    group by 1, 2

),

corrected as (

    select
        alive.*,
        {%- for horizon in horizons %}
        {%- for given_alive in ['purchases', 'chance'] %}
        alive.{{ given_alive }}_if_alive_{{ horizon }}d * (
            alive.probability_alive
            + corrections.alive_floor_{{ horizon }}d * (1 - alive.probability_alive)
        ) as base_{{ given_alive }}_{{ horizon }}d,
        {%- endfor %}
        (1 + corrections.level_shift_{{ horizon }}d) * (
            1
            {%- for days in forgetting_days() %}
            + corrections.forgetting_{{ days }}_{{ horizon }}d
            * (totals.total_{{ days }}d * alive.forgetting_{{ days }}d - 1)
            {%- endfor %}
        ) as factor_{{ horizon }}d,
        {%- for own in ['purchases', 'value'] %}
        -- No blend for customers too young to have an own sum over the horizon.
        case
            when alive.own_{{ own }}_{{ horizon }}d is null then 0.0
            else corrections.{{ own }}_weight_{{ horizon }}d
        end as {{ own }}_weight_{{ horizon }}d,
        {%- endfor %}
        {%- endfor %}
        alive.probability_alive
        + corrections.alive_floor * (1 - alive.probability_alive)
            as served_probability_alive,
        alive.probability_alive
        + corrections.alive_floor_{{ last }}d * (1 - alive.probability_alive)
            as probability_alive_beyond,
        {{ range_class('alive', 'bounds') | indent(8) }} as range_class
    from alive
    inner join totals
        on
            alive.model_version = totals.model_version
            and alive.cutoff_date = totals.cutoff_date
    inner join corrections
        on
            alive.is_challenger = corrections.is_challenger
            {%- if not is_daily() %}
            and alive.cutoff_date = corrections.cutoff_date
            {%- endif %}
    {%- if is_daily() %}
    cross join bounds
    {%- else %}
    inner join bounds
        on alive.cutoff_date = bounds.cutoff_date
    {%- endif %}

),

blended as (

    select
        {%- for horizon in horizons %}
        (1 - purchases_weight_{{ horizon }}d)
        * base_purchases_{{ horizon }}d * factor_{{ horizon }}d
        + purchases_weight_{{ horizon }}d * coalesce(own_purchases_{{ horizon }}d, 0.0)
            as blended_purchases_{{ horizon }}d,
        (1 - value_weight_{{ horizon }}d) * expected_value
        * base_purchases_{{ horizon }}d * factor_{{ horizon }}d
        + value_weight_{{ horizon }}d
        * greatest(coalesce(own_value_{{ horizon }}d, 0.0), 0.0)
            as blended_value_{{ horizon }}d,
        {%- endfor %}
        *
    from corrected

),

-- Expectations may not fall with the horizon, though each horizon learns its own corrections.
ordered as (

    select
        {%- for number in ['purchases', 'value'] %}
        {%- for horizon in horizons %}
        greatest(
            {%- for shorter in horizons[:loop.index] %}
            blended_{{ number }}_{{ shorter }}d{{ ',' if not loop.last }}
            {%- endfor %}
        ) as expected_{{ number }}_{{ horizon }}d,
        {%- endfor %}
        {%- endfor %}
        {%- for horizon in horizons %}
        greatest(
            {%- for shorter in horizons[:loop.index] %}
            blended_value_{{ shorter }}d * discounted_if_alive_{{ shorter }}d
            / purchases_if_alive_{{ shorter }}d{{ ',' if not loop.last }}
            {%- endfor %}
        ) as clv_{{ horizon }}d,
        {%- endfor %}
        *
    from blended

),

likely as (

    select
        {%- for horizon in horizons %}
        {{ corrected_chance(
            'expected_purchases_%sd' % horizon, 'base_purchases_%sd' % horizon,
            'base_chance_%sd' % horizon
        ) | indent(8) }} as likely_{{ horizon }}d,
        {%- endfor %}
        *
    from ordered

),

-- At most the expected purchases (Markov): of a month in which there can be one only, they are the chance.
consistent as (

    select
        {%- for horizon in horizons %}
        least(
            expected_purchases_{{ horizon }}d,
            greatest(
                {%- for shorter in horizons[:loop.index] %}
                likely_{{ shorter }}d{{ ',' if not loop.last }}
                {%- endfor %}
            )
        ) as probability_purchase_{{ horizon }}d,
        {%- endfor %}
        *
    from likely

),

-- The distribution of spend given a purchase is the model's, scaled to the mean of the forecast.
scaled as (

    select
        {%- for horizon in horizons %}
        coalesce(
            expected_value_{{ horizon }}d * chance_if_alive_{{ horizon }}d
            / nullif(
                purchases_if_alive_{{ horizon }}d * expected_value
                * probability_purchase_{{ horizon }}d, 0
            ), 1.0
        ) * spend_scale as spend_scale_{{ horizon }}d,
        {%- endfor %}
        *
    from consistent

),

contracts as (

    select *
    from {{ ref('int_contracts__scored') }}
    where is_served

),

-- A renewal is a purchase day.
contracted as (

    select
        {%- for horizon in horizons %}
        contracts.value_variance_{{ horizon }}d as contract_variance_{{ horizon }}d,
        {%- endfor %}
        scaled.* replace ( -- noqa: AM04
            {%- for horizon in horizons %}
            {%- for column, renewals in {
                'probability_purchase': 'contracts.probability_renewal',
                'expected_purchases': 'contracts.expected_renewals',
                'expected_value':
                    'contracts.value_per_renewal * contracts.expected_renewals',
                'clv': 'contracts.clv',
            }.items() %}
            coalesce(
                {{ renewals }}_{{ horizon }}d,
                scaled.{{ column }}_{{ horizon }}d
            ) as {{ column }}_{{ horizon }}d,
            {%- endfor %}
            {%- endfor %}
            coalesce(contracts.value_per_renewal, scaled.expected_value)
                as expected_value,
            coalesce(contracts.probability_alive, scaled.served_probability_alive)
                as served_probability_alive
        )
    from scaled
    left join contracts
        on
            scaled.customer_id = contracts.customer_id
            and scaled.cutoff_date = contracts.as_of_date

)

select
    customer_id,
    model_version,
    is_current_spec,
    purchase_model,
    stratum,
    frequency,
    age_days,
    stage_quarters,
    {{ frequency_class('frequency') }} as frequency_class,
    range_class,
    served_probability_alive as probability_alive,
    probability_alive_beyond,
    factor_{{ last }}d as factor_beyond,
    typical_gap_days,
    probability_longer_gap,
    expected_value,
    {%- for horizon in horizons %}
    probability_purchase_{{ horizon }}d,
    expected_purchases_{{ horizon }}d,
    expected_value_{{ horizon }}d,
    clv_{{ horizon }}d,
    spend_scale_{{ horizon }}d,
    -- Variance, undiscounted: second moment less the square of the mean, both on the new scale.
    coalesce(
        contract_variance_{{ horizon }}d,
        power(expected_value_{{ horizon }}d, 2) * coalesce(
            squared_if_alive_{{ horizon }}d * chance_if_alive_{{ horizon }}d
            * power(
                spend_scale
                / nullif(purchases_if_alive_{{ horizon }}d * expected_value, 0), 2
            )
            / nullif(probability_purchase_{{ horizon }}d, 0) - 1, 0.0
        )
    ) as value_variance_{{ horizon }}d,
    -- The purchase model without corrections.
    probability_alive * purchases_if_alive_{{ horizon }}d
        as model_purchases_{{ horizon }}d,
    {%- endfor %}
    cutoff_date
from contracted
