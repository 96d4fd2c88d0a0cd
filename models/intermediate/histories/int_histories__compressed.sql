-- grain: one row per stratum, cutoff and distinct history
-- Cutoffs whose forecast would be withheld are not fitted.
{%- set staged = fitted_models() | select('in', staged_models()) | list %}
with histories as (

    select *
    from {{ ref('int_histories__sampled') }}
    where
        cutoff_date in (
            select readiness.cutoff_date
            from {{ ref('int_readiness') }} as readiness
            where readiness.is_forecast
        )

),

{%- if staged %}

-- Needed only by the models of regular buyers.
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

),

timed as (

    select
        histories.*,
        coalesce(summed.ln_gaps, 0.0) as ln_gaps
    from histories
    left join summed
        on
            histories.customer_id = summed.customer_id
            and histories.cutoff_date = summed.cutoff_date

)
{%- else %}

timed as (

    select
        *,
        0.0 as ln_gaps
    from histories

)
{%- endif %}

select
    stratum,
    cutoff_date,
    frequency,
    recency_days,
    age_days,
    count(*) as customers,
    sum(ln_gaps) as ln_gaps
from timed
group by 1, 2, 3, 4, 5
