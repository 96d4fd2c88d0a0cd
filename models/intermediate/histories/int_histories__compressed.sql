-- grain: one row per stratum, cutoff and distinct history
-- Where a forecast would be withheld nothing is fitted.
{%- set has_stages = fitted_models() | select('in', staged_models()) | list | length > 0 %}
with histories as (

    select *
    from {{ ref('int_histories__sampled') }}
    where
        cutoff_date in (
            select readiness.cutoff_date
            from {{ ref('int_readiness') }} as readiness
            where readiness.is_forecast
        )

){% if has_stages %},

-- What models of regular buyers need beside the history, and nobody else does.
gaps as (

    select
        cutoff_date,
        customer_id,
        {{ days_between(
            'lag(purchase_date) over (
            partition by cutoff_date, customer_id
            order by purchase_date
        )', 'purchase_date'
        ) }} as gap_days
    from {{ ref('int_purchase_days__known') }}

),

summed as (

    select
        cutoff_date,
        customer_id,
        sum(ln(gap_days)) as ln_gaps
    from gaps
    where gap_days is not null
    group by 1, 2

)
{%- endif %}

select
    histories.stratum,
    histories.cutoff_date,
    histories.frequency,
    histories.recency_days,
    histories.age_days,
    count(*) as customers,
    {{ 'coalesce(sum(summed.ln_gaps), 0.0)' if has_stages else '0.0' }} as ln_gaps
from histories
{%- if has_stages %}
left join summed
    on
        histories.customer_id = summed.customer_id
        and histories.cutoff_date = summed.cutoff_date
{%- endif %}
group by 1, 2, 3, 4, 5
