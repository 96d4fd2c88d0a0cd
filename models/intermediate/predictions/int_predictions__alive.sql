-- grain: one row per customer, cutoff and model version: P(alive) and the purchase rate given alive
-- Given alive, future purchases depend on frequency and age only; recency enters through P(alive) alone,
-- which has a closed form (models/docs/concepts.md). The inputs of the corrections are further columns.
-- depends_on: {{ ref('int_expectations__alive') }}
{%- set horizons = shaped('clv_horizons') %}
{%- set longest = horizons | max %}
{%- set models = scored_models() %}
{%- set has_months = 'bgbb' in models %}
{%- set has_stages = models | select('in', staged_models()) | list | length > 0 %}
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

tabulated as (

    select *
    from {{ ref('int_expectations__wide') }}

),

season as (

    select
        model_version,
        cutoff_date,
        days_ago,
        time_ago
    from {{ ref('int_season') }}

),

{%- if has_months %}

by_month as (

    select *
    from {{ ref('int_expectations__alive') }}

),
{%- endif %}

-- In season-warped time if the model version has a season.
timed as (

    select
        histories.customer_id,
        histories.frequency,
        histories.age_days,
        histories.purchase_days,
        histories.is_on_plan,
        {%- for days in forgetting_days() %}
        -- Without the first purchase, which is not a repeat.
        greatest(
            coalesce(own.weighted_purchases_{{ days }}d, 0.0) - case
                when histories.age_days < {{ longest }}
                    then exp(-histories.age_days / {{ days }}.0)
                else 0.0
            end, 0.0
        ) as weighted_purchases_{{ days }}d,
        {%- endfor %}
        {%- for horizon in horizons %}
        -- Null for customers younger than half of the horizon.
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
        parameters.gamma + histories.purchase_days * greatest(histories.mean_value, 0.0)
            as spend_scale,
        {%- if has_months %}
        by_month.probability_alive as alive_by_month,
        by_month.probability_longer_gap as longer_gap_by_month,
        by_month.typical_gap_days as typical_gap_by_month,
        by_month.mean_gap_days as mean_gap_by_month,
        {%- endif %}
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
    {%- if has_months %}
    left join by_month
        on
            parameters.model_version = by_month.model_version
            and parameters.stratum = by_month.stratum
            and parameters.cutoff_date = by_month.cutoff_date
            and histories.frequency = by_month.frequency
            and histories.age_days = by_month.age_days
            and {{ months_recent('histories.recency_days') }} = by_month.recency_months
    {%- endif %}

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
        is_current_spec,
        is_challenger,
        purchase_model,
        stratum,
        frequency,
        age_days,
        is_on_plan,
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
        p * spend_scale / (p * purchase_days + q - 1) as expected_value,
        -- Posterior mean of purchases a day while alive, and the ratio to it when older purchases
        -- weigh less.
        {%- set rate = '(r + k * frequency) / (alpha + age_days) / k' %}
        {{ by_month('1.0 / mean_gap_by_month', rate, has_months) | indent(8) }}
            as purchase_rate,
        {%- for days in forgetting_days() %}
        {%- set weighted = 'weighted_purchases_' ~ days ~ 'd' %}
        {%- set time -%}
        {{ days }} * (1 - exp(-least(age_days, {{ longest }}) / {{ days }}.0))
        {%- endset %}
        {%- set of_months -%}
        mean_gap_by_month * (alpha + {{ weighted }})
        / ({{ month_days() }} * (alpha + beta) + {{ time }})
        {%- endset %}
        {%- set of_days -%}
        (r + k * {{ weighted }}) / (alpha + {{ time }})
        / ((r + k * frequency) / (alpha + age_days))
        {%- endset %}
        {{ by_month(of_months, of_days, has_months) | indent(8) }}
            as forgetting_{{ days }}d,
        {%- endfor %}
        {%- for horizon in horizons %}
        own_purchases_{{ horizon }}d,
        own_value_{{ horizon }}d,
        {%- endfor %}
        -- The customer's own rhythm at their last purchase, while they stay: mean gap, and the probability
        -- of a gap longer than that since then.
        {%- set gap = '(alpha + recency_time) / (r / k + frequency)' %}
        {{ by_month('typical_gap_by_month', gap, has_months) | indent(8) }}
            as typical_gap_days,
        {%- set longer -%}
        exp((r + k * frequency) * ln((alpha + recency_time) / (alpha + age_time)))
        * ({{ stage_chances_sum() if has_stages else 1 }})
        {%- endset %}
        {{ by_month('longer_gap_by_month', longer, has_months) | indent(8) }}
            as probability_longer_gap,
        cutoff_date
    from modelled

)

select
    {%- for horizon in horizons %}
    {%- for name, columns in {
        'purchases': ['expected_purchases'], 'discounted': ['discounted_purchases'],
        'chance': ['probability_purchase'],
        'squared': ['probability_purchase', 'squared_spend'],
    }.items() %}
    {{ over_stages(columns, horizon, has_stages) | indent(4) }}
        as {{ name }}_if_alive_{{ horizon }}d,
    {%- endfor %}
    {%- endfor %}
    alive.*
from alive
{{ joined_stages(has_stages) }}
