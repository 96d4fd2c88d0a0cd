-- grain: one row per stratum, cutoff and distinct history
-- Cutoffs whose forecast would be withheld are not fitted.
{%- set staged = fitted_models() | select('in', staged_models()) | list %}
{%- set sampled_customers = 50000 %}
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

sizes as (

    select
        cutoff_date,
        count(*) as customers
    from histories
    group by 1

),

-- A stable hash sample of customers: the regularity of gaps needs no more.
picked as (

    select
        histories.cutoff_date,
        histories.customer_id
    from histories
    inner join sizes
        on histories.cutoff_date = sizes.cutoff_date
    where
        case
            when sizes.customers <= {{ sampled_customers }} then true
            else
                {{ hash_bucket('histories.customer_id', 100000) }}
                < 100000.0 * {{ sampled_customers }} / sizes.customers
        end

),

gaps as (

    select
        known.cutoff_date,
        known.customer_id,
        {{ days_between(
            'lag(known.purchase_date) over (
            partition by known.cutoff_date, known.customer_id
            order by known.purchase_date
        )', 'known.purchase_date'
        ) }} as gap_days
    from {{ ref('int_purchase_days__known') }} as known
    inner join picked
        on
            known.customer_id = picked.customer_id
            and known.cutoff_date = picked.cutoff_date

),

summed as (

    select
        cutoff_date,
        customer_id,
        coalesce(sum(ln(gap_days)), 0.0) as ln_gaps
    from gaps
    group by 1, 2

),

timed as (

    select
        histories.*,
        summed.ln_gaps
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
    count(ln_gaps) as sampled_customers,
    coalesce(sum(ln_gaps), 0.0) as ln_gaps
from timed
group by 1, 2, 3, 4, 5
