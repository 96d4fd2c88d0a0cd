-- grain: one row per customer, cutoff and model version: what it expects of them, without ranges
-- Given that they are alive the future depends on frequency and age only, so it is looked up; when
-- they last bought moves P(alive) alone, which is closed form (models/overview.md).
{%- set horizons = shaped('clv_horizons') %}
{%- set models = scored_models() %}
{%- set has_stages = models | select('in', staged_models()) | list | length > 0 %}
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
        case
            when parameters.season is null then histories.recency_days
            else first_day.time_ago - last_day.time_ago
        end as recency_time,
        case
            when parameters.season is null then histories.age_days
            else first_day.time_ago
        end as age_time,
        -- Spend of k purchases is this scale times BetaPrime(p k, q + p n); n = purchase days.
        parameters.gamma + histories.purchase_days * greatest(histories.mean_value, 0.0)
            as spend_scale,
        parameters.*
    from histories
    inner join parameters
        on
            histories.stratum = parameters.stratum
            and histories.cutoff_date = parameters.cutoff_date
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
        {%- if has_stages %}
        {{ stage_chances() | indent(8) }},
        {%- endif %}
        {{ leaving_from() }} as leaving_from,
        {{ leaving_span() | indent(8) }} as leaving_span
    from timed

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
        {{ probability_alive(models=models) | indent(8) }}
            as probability_alive,
        {%- if has_stages %}
        stage_1,
        stage_2,
        stage_3,
        cast(
            floor(
                4 * (stage_1 + 2 * stage_2 + 3 * stage_3) / ({{ stage_chances_sum() }})
                + 0.5
            ) as {{ type_integer() }}
        ) as stage_quarters,
        {%- else %}
        0 as stage_quarters,
        {%- endif %}
        spend_scale,
        -- Posterior mean of the value of one purchase day (Fader & Hardie 2013, note 025).
        p * spend_scale / (p * purchase_days + q - 1) as expected_value
    from modelled

)

select
    alive.customer_id,
    alive.model_version,
    alive.is_recipe,
    alive.purchase_model,
    alive.stratum,
    alive.frequency,
    alive.age_days,
    alive.stage_quarters,
    {{ frequency_class('alive.frequency') }} as frequency_class,
    alive.probability_alive,
    alive.expected_value,
    alive.spend_scale,
    {%- for horizon in horizons %}
    alive.probability_alive
    * {{ over_stages(['probability_purchase_' ~ horizon ~ 'd'], has_stages) }}
        as probability_purchase_{{ horizon }}d,
    alive.probability_alive
    * {{ over_stages(['expected_purchases_' ~ horizon ~ 'd'], has_stages) }}
        as expected_purchases_{{ horizon }}d,
    alive.probability_alive
    * {{ over_stages(['discounted_purchases_' ~ horizon ~ 'd'], has_stages) }}
    * alive.expected_value as clv_{{ horizon }}d,
    -- Second moment less the square of the first, undiscounted.
    alive.probability_alive
    * {{ over_stages(
        ['probability_purchase_' ~ horizon ~ 'd', 'squared_spend_' ~ horizon ~ 'd'],
        has_stages
    ) }}
    * alive.spend_scale * alive.spend_scale
    - power(
        alive.probability_alive
        * {{ over_stages(['expected_purchases_' ~ horizon ~ 'd'], has_stages) }}
        * alive.expected_value, 2
    ) as value_variance_{{ horizon }}d,
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
        and outlook.stage_quarters = 0
{%- for stage in range(1, 4) if has_stages %}
{%- set place = 'outlook_' ~ stage %}
left join outlook as {{ place }}
    on
        alive.model_version = {{ place }}.model_version
        and alive.stratum = {{ place }}.stratum
        and alive.cutoff_date = {{ place }}.cutoff_date
        and alive.frequency = {{ place }}.frequency
        and alive.age_days = {{ place }}.age_days
        and {{ place }}.stage_quarters = {{ 4 * stage }}
{%- endfor %}
