-- grain: one row per cutoff and day with a repeat purchase, as known at the cutoff
-- Input of the seasonal index; empty unless var clv_season is auto.
{%- set is_wanted = var('clv_season') == 'auto' and not is_monthly() %}
with purchase_days as (

    select
        cutoff_date,
        purchase_date
    from {{ ref('int_purchase_days__known') }}
    where {{ is_wanted }} and is_on_plan is not true

),

first_days as (

    select
        cutoff_date,
        first_purchase_date
    from {{ ref('int_histories__observed') }}
    where {{ is_wanted }} and is_on_plan is not true

),

counted as (

    select
        cutoff_date,
        purchase_date,
        count(*) as purchases
    from purchase_days
    group by 1, 2

),

first_purchases as (

    select
        cutoff_date,
        first_purchase_date,
        count(*) as purchases
    from first_days
    group by 1, 2

)

select
    counted.cutoff_date,
    counted.purchase_date,
    counted.purchases - coalesce(first_purchases.purchases, 0) as repeat_purchases
from counted
left join first_purchases
    on
        counted.cutoff_date = first_purchases.cutoff_date
        and counted.purchase_date = first_purchases.first_purchase_date
where counted.purchases > coalesce(first_purchases.purchases, 0)
