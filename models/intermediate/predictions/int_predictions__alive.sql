-- grain: one row per customer, cutoff and model version: whether they are alive, and at what rate
-- Given that they are alive the future depends on frequency and age only; when they last bought moves
-- P(alive) alone, which is closed form (models/docs/concepts.md). What corrects the model stands beside it.
{%- set horizons = shaped('clv_horizons') %}
{%- set longest = horizons | max %}
with histories as (

    select *
    from {{ ref('int_histories__observed') }}

),

parameters as (

    select *
    from {{ ref('int_parameters') }}

),

own as (

    select *
    from {{ ref('int_purchases__last') }}

),

outlook as (

    select *
    from {{ ref('int_outlook__wide') }}

),

season as (

    select
        model_version,
        cutoff_date,
        days_ago,
        time_ago
    from {{ ref('int_season') }}

),

-- Days are as long as the season of the model version says, if it has one.
timed as (

    select
        histories.customer_id,
        histories.frequency,
        histories.age_days,
        histories.purchase_days,
        {%- for days in forgetting_days() %}
        -- The first purchase is no repeat.
        greatest(
            coalesce(own.weighted_purchases_{{ days }}d, 0.0) - case
                when histories.age_days < {{ longest }}
                    then exp(-histories.age_days / {{ days }}.0)
                else 0.0
            end, 0.0
        ) as weighted_purchases_{{ days }}d,
        {%- endfor %}
        {%- for horizon in horizons %}
        -- Who has been known for less than half of a horizon has no such sum.
        {%- for own in ['purchases', 'value'] %}
        case
            when 2 * histories.age_days >= {{ horizon }}
                then coalesce(own.{{ own }}_{{ horizon }}d, 0.0)
        end as own_{{ own }}_{{ horizon }}d,
        {%- endfor %}
        {%- endfor %}
        case
            when parameters.season is null then histories.recency_days
            else first_day.time_ago - last_day.time_ago
        end as recency_time,
        case
            when parameters.season is null then histories.age_days
            else first_day.time_ago
        end as age_time,
        -- Spend of k purchases is this scale times BetaPrime(p k, q + p n); n = purchase days.
        parameters.gamma + histories.purchase_days * histories.capped_mean_value
            as spend_scale,
        parameters.*
    from histories
    inner join parameters
        on
            histories.stratum = parameters.stratum
            and histories.cutoff_date = parameters.cutoff_date
    left join own
        on
            histories.customer_id = own.customer_id
            and histories.cutoff_date = own.cutoff_date
    left join season as first_day
        on
            parameters.model_version = first_day.model_version
            and parameters.cutoff_date = first_day.cutoff_date
            and histories.age_days = first_day.days_ago
    left join season as last_day
        on
            parameters.model_version = last_day.model_version
            and parameters.cutoff_date = last_day.cutoff_date
            and histories.age_days - histories.recency_days = last_day.days_ago

),

modelled as (

    select
        *,
        {{ leaving_from() }} as leaving_from,
        {{ leaving_span() | indent(8) }} as leaving_span
    from timed

),

alive as (

    select
        customer_id,
        model_version,
        is_recipe,
        is_challenger,
        purchase_model,
        stratum,
        frequency,
        age_days,
        {{ probability_alive(with_paretonbd=has_paretonbd()) | indent(8) }}
            as probability_alive,
        spend_scale,
        -- Posterior mean of the value of one purchase day (Fader & Hardie 2013, note 025).
        p * spend_scale / (p * purchase_days + q - 1) as expected_value,
        -- Posterior mean of purchases a day while alive; and what of it is left where purchases count
        -- less the older they are.
        (r + frequency) / (alpha + age_days) as purchase_rate,
        {%- for days in forgetting_days() %}
        (r + weighted_purchases_{{ days }}d) / (
            alpha
            + {{ days }} * (1 - exp(-least(age_days, {{ longest }}) / {{ days }}.0))
        ) / ((r + frequency) / (alpha + age_days)) as forgetting_{{ days }}d,
        {%- endfor %}
        {%- for horizon in horizons %}
        own_purchases_{{ horizon }}d,
        own_value_{{ horizon }}d,
        {%- endfor %}
        cutoff_date
    from modelled

)

select
    {%- for horizon in horizons %}
    outlook.expected_purchases_{{ horizon }}d as purchases_if_alive_{{ horizon }}d,
    outlook.discounted_purchases_{{ horizon }}d as discounted_if_alive_{{ horizon }}d,
    outlook.probability_purchase_{{ horizon }}d as chance_if_alive_{{ horizon }}d,
    outlook.probability_purchase_{{ horizon }}d * outlook.squared_spend_{{ horizon }}d
        as squared_if_alive_{{ horizon }}d,
    {%- endfor %}
    alive.*
from alive
inner join outlook
    on
        alive.model_version = outlook.model_version
        and alive.stratum = outlook.stratum
        and alive.cutoff_date = outlook.cutoff_date
        and alive.frequency = outlook.frequency
        and alive.age_days = outlook.age_days
