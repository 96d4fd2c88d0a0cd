-- grain: one row per channel, month of acquisition spend, disposition and currency
with as_of as (

    select
        as_of_date,
        currency
    from {{ ref('int_as_of') }}

),

rates as (

    select *
    from {{ ref('int_currency_rates__dated') }}

),

rated as (

    select
        coalesce(lower(ad_spend.channel), 'unknown') as channel,
        ad_spend.currency,
        ad_spend.spend_amount,
        ad_spend.new_customers,
        ad_spend.spend_date,
        case
            when ad_spend.currency is null then 1
            when ad_spend.currency = as_of.currency then 1
            else rates.rate
        end as currency_rate,
        as_of.as_of_date
    from {{ ref('stg_ad_spend') }} as ad_spend
    cross join as_of
    left join rates
        on
            ad_spend.currency = rates.currency
            and ad_spend.spend_date >= rates.valid_from
            and (
                rates.valid_until is null
                or ad_spend.spend_date < rates.valid_until
            )

),

delivered as (

    select
        *,
        {{ month_start('spend_date') }} as cohort_month,
        case
            when spend_date is null then 'no_date'
            when spend_amount is null then 'no_amount'
            when spend_date > as_of_date then 'after_as_of_date'
            when currency_rate is null then 'no_rate'
            else 'counted'
        end as disposition
    from rated

)

select
    {{ surrogate_key(['channel', 'cohort_month', 'disposition', 'currency']) }}
        as spend_id,
    channel,
    cohort_month,
    disposition,
    currency,
    count(*) as row_count,
    sum(spend_amount) as delivered_amount,
    sum({{ as_money('spend_amount * currency_rate') }}) as spend_amount,
    sum(new_customers) as new_customers
from delivered
group by 1, 2, 3, 4, 5
