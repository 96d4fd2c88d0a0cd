-- grain: one row per channel, month of acquisition spend and disposition
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

delivered as (

    select
        coalesce(lower(ad_spend.channel), 'unknown') as channel,
        {{ month_start('ad_spend.spend_date') }} as cohort_month,
        case
            when ad_spend.spend_date is null then 'no_date'
            when ad_spend.spend_amount is null then 'no_amount'
            when ad_spend.spend_date > as_of.as_of_date then 'after_as_of_date'
            else 'counted'
        end as disposition,
        ad_spend.spend_amount,
        ad_spend.new_customers
    from {{ ref('stg_ad_spend') }} as ad_spend
    cross join as_of

)

select
    {{ surrogate_key(['channel', 'cohort_month', 'disposition']) }} as spend_id,
    channel,
    cohort_month,
    disposition,
    count(*) as row_count,
    sum(spend_amount) as spend_amount,
    sum(new_customers) as new_customers
from delivered
group by 1, 2, 3, 4
