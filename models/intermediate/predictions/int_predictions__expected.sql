-- grain: one row per customer and cutoff: what the model expects of her after it, without ranges
-- Given that she is alive the future depends on frequency and age only, so it is looked up; when
-- she last bought moves P(alive) alone, which is closed form (models/overview.md).
{%- set horizons = var('clv_horizons') %}
with histories as (

    select *
    from {{ ref('int_histories__observed') }}

),

timing as (

    select *
    from {{ ref('int_bgnbd__parameters') }}

),

money as (

    select *
    from {{ ref('int_gamma_gamma__parameters') }}

),

outlook as (

    select *
    from {{ ref('int_outlook__wide') }}

),

alive as (

    select
        histories.customer_id,
        histories.stratum,
        histories.frequency,
        histories.age_days,
        histories.cutoff_date,
        {{ probability_alive(
            'histories.frequency', 'histories.recency_days', 'histories.age_days',
            'timing.r', 'timing.alpha', 'timing.a', 'timing.b'
        ) | indent(8) }} as probability_alive,
        -- Spend of k purchases is this scale times BetaPrime(p k, q + p n); n = purchase days.
        money.gamma + histories.purchase_days * histories.capped_mean_value
            as spend_scale,
        -- Posterior mean of the value of one purchase day (Fader & Hardie 2013, note 025).
        money.p * (money.gamma + histories.purchase_days * histories.capped_mean_value)
        / (money.p * histories.purchase_days + money.q - 1) as expected_value
    from histories
    inner join timing
        on
            histories.stratum = timing.stratum
            and histories.cutoff_date = timing.cutoff_date
    left join money
        on
            histories.stratum = money.stratum
            and histories.cutoff_date = money.cutoff_date

)

select
    alive.customer_id,
    alive.stratum,
    alive.frequency,
    alive.age_days,
    {{ frequency_class('alive.frequency') }} as frequency_class,
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
    -- Second moment less the square of the first, undiscounted.
    alive.probability_alive * outlook.probability_purchase_{{ horizon }}d
    * outlook.squared_spend_{{ horizon }}d * alive.spend_scale * alive.spend_scale
    - power(
        alive.probability_alive * outlook.expected_purchases_{{ horizon }}d
        * alive.expected_value, 2
    ) as value_variance_{{ horizon }}d,
    {%- endfor %}
    alive.cutoff_date
from alive
inner join outlook
    on
        alive.stratum = outlook.stratum
        and alive.cutoff_date = outlook.cutoff_date
        and alive.frequency = outlook.frequency
        and alive.age_days = outlook.age_days
