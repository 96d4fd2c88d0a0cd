-- grain: one row per customer who has bought and cutoff: the segment by the rules, without hysteresis
{%- set at_risk = shaped('clv_at_risk_thresholds') %}
{#- A customer leaves a tier, or hibernation, only below this share of its cut-point. #}
{%- set exit_band = 0.9 %}
{%- set bands = {'tier': 1, 'kept_tier': exit_band} %}
{%- set tiers = {3: 'vip_clv', 2: 'notable_clv', 1: 'valuable_clv'} %}
with measured as (

    select *
    from {{ ref('int_segments__measured') }}

),

cut_points as (

    select *
    from {{ ref('int_segments__cut_points') }}

),

compared as (

    select
        measured.customer_id,
        measured.cutoff_date,
        measured.is_production,
        measured.is_suppressed,
        measured.purchase_days,
        case
            when measured.days_since_last_purchase > cut_points.inactivity_days
                then 'hibernating'
            when
                measured.purchase_days = 1
                and measured.days_since_last_purchase
                > {{ at_risk.one_time_share }} * cut_points.inactivity_days
                then 'at_risk'
            -- P(alive) of one-time customers is not used: in BG/NBD it is always 1.
            when
                measured.purchase_days > 1
                and (
                    measured.probability_alive < {{ at_risk.probability_alive }}
                    or measured.days_since_last_purchase
                    > {{ at_risk.repeat_share }} * cut_points.inactivity_days
                )
                then 'at_risk'
            else 'active'
        end as state,
        measured.days_since_last_purchase
        > {{ exit_band }} * cut_points.inactivity_days
            as stays_hibernating,
        -- Tiers by CLV: to enter one, and to stay in it.
        {%- for column, band in bands.items() %}
        case
            {%- for tier, cut in tiers.items() %}
            when measured.clv >= {{ band }} * cut_points.{{ cut }} then {{ tier }}
            {%- endfor %}
            else 0
        end as {{ column }},
        {%- endfor %}
        coalesce(measured.clv >= cut_points.promising_clv, false) as is_promising,
        coalesce(
            measured.clv >= {{ exit_band }} * cut_points.promising_clv, false
        ) as stays_promising,
        coalesce(measured.historic_value >= cut_points.historic_value, false)
            as is_historically_valuable,
        coalesce(measured.value_365d >= cut_points.outlier_value_365d, false)
        or coalesce(measured.purchases_365d >= cut_points.outlier_purchases_365d, false)
        or coalesce(measured.mean_value >= cut_points.outlier_mean_value, false)
            as is_outlier
    from measured
    inner join cut_points
        on measured.cutoff_date = cut_points.cutoff_date

)

select
    customer_id,
    cutoff_date,
    is_production,
    is_suppressed,
    purchase_days,
    state,
    stays_hibernating,
    tier,
    kept_tier,
    is_promising,
    stays_promising,
    is_historically_valuable,
    is_outlier,
    {{ clv_segment() | indent(4) }} as segment
from compared
