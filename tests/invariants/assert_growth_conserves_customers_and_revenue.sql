-- New and returning customers, the growth of the base, second purchases and deciles are of the
-- customers, the revenue and the value that other tables count.
{%- set has_value = var('clv_value') != 'none' %}
with as_of as (

    select
        as_of.as_of_date,
        cut_points.inactivity_days
    from {{ ref('int_as_of') }} as as_of
    inner join {{ ref('int_segments__cut_points') }} as cut_points
        on as_of.as_of_date = cut_points.cutoff_date

),

buyers as (

    select
        count(*) as customers,
        sum(case when purchase_days > 1 then 1 else 0 end) as repeat_customers
    from {{ ref('int_customers__current') }}

),

purchase_days as (

    select
        purchase_days.customer_id,
        purchase_days.purchase_date,
        purchase_days.revenue_amount,
        purchase_days.value_amount,
        as_of.as_of_date,
        {{ add_days('purchase_days.purchase_date', 'as_of.inactivity_days') }}
            as counts_until
    from {{ ref('int_purchase_days') }} as purchase_days
    cross join as_of
    where purchase_days.is_purchase and purchase_days.known_until is null

),

-- The last day of the month in progress, and of the two before it.
month_ends as (

    select as_of_date as month_end
    from as_of

    union all

    select {{ add_days(month_start('as_of_date'), -1) }} as month_end
    from as_of

    union all

    select {{ add_days(add_months(month_start('as_of_date'), -1), -1) }} as month_end
    from as_of

),

active as (

    select
        {{ month_start('month_ends.month_end') }} as period_month,
        count(distinct purchase_days.customer_id) as customers,
        sum(purchase_days.value_amount) as value_amount
    from month_ends
    inner join purchase_days
        on
            month_ends.month_end >= purchase_days.purchase_date
            and month_ends.month_end <= purchase_days.counts_until
    group by 1

),

growth as (

    select
        *,
        lag(active_customers) over (order by period_month) as customers_carried,
        lag(active_value_amount) over (order by period_month) as value_carried
    from {{ ref('growth_accounting') }}

),

kinds as (

    select distinct group_type
    from {{ ref('second_purchases') }}

),

checks as (

    select
        'new customers of the months' as what,
        new_customers as found,
        0 as counted
    from {{ ref('new_and_returning') }}

    union all

    select
        'new customers of the months' as what,
        0 as found,
        customers as counted
    from buyers

    union all

    select
        'purchase days of the months' as what,
        new_purchase_days + returning_purchase_days as found,
        0 as counted
    from {{ ref('new_and_returning') }}

    union all

    select
        'purchase days of the months' as what,
        0 as found,
        count(*) as counted
    from purchase_days

    union all

    select
        concat('second purchases, ', second_purchases.group_type) as what,
        sum(second_purchases.repeat_customers) as found,
        max(buyers.repeat_customers) as counted
    from {{ ref('second_purchases') }} as second_purchases
    cross join buyers
    group by 1

    union all

    select
        concat('customers of ', cast(growth.period_month as {{ type_text() }})) as what,
        growth.active_customers as found,
        active.customers as counted
    from active
    inner join growth
        on active.period_month = growth.period_month

    union all

    select
        concat('customers before ', cast(period_month as {{ type_text() }})) as what,
        active_customers_before as found,
        customers_carried as counted
    from growth
    where customers_carried is not null

    union all

    select
        concat('customers after ', cast(period_month as {{ type_text() }})) as what,
        active_customers as found,
        active_customers_before + new_customers + returned_customers - lapsed_customers
            as counted
    from growth

    union all

    select
        'customers in deciles' as what,
        customers as found,
        0 as counted
    from {{ ref('decile_migration') }}

    union all

    select
        'customers in deciles' as what,
        0 as found,
        customers as counted
    from buyers
    {%- if has_value %}

    union all

    select
        'revenue of the months' as what,
        revenue_amount as found,
        0 as counted
    from {{ ref('new_and_returning') }}

    union all

    select
        'revenue of the months' as what,
        0 as found,
        revenue_amount as counted
    from {{ ref('revenue_reconciliation') }}
    where is_counted

    union all

    select
        concat('value of first and later purchases, ', group_type) as what,
        first_value_amount + later_value_amount as found,
        0 as counted
    from {{ ref('second_purchases') }}

    union all

    select
        concat('value of first and later purchases, ', kinds.group_type) as what,
        0 as found,
        purchase_days.value_amount as counted
    from purchase_days
    cross join kinds

    union all

    select
        concat('value of ', cast(growth.period_month as {{ type_text() }})) as what,
        growth.active_value_amount as found,
        active.value_amount as counted
    from active
    inner join growth
        on active.period_month = growth.period_month

    union all

    select
        concat('value before ', cast(period_month as {{ type_text() }})) as what,
        active_value_before_amount as found,
        value_carried as counted
    from growth
    where value_carried is not null

    union all

    select
        concat('value after ', cast(period_month as {{ type_text() }})) as what,
        active_value_amount as found,
        active_value_before_amount + new_value_amount + returned_value_amount
        + retained_value_change_amount - lapsed_value_amount as counted
    from growth

    union all

    select
        'revenue in deciles' as what,
        revenue_now_amount as found,
        0 as counted
    from {{ ref('decile_migration') }}

    union all

    select
        'revenue in deciles' as what,
        0 as found,
        revenue_amount as counted
    from purchase_days
    where purchase_date > {{ add_days('as_of_date', -365) }}
    {%- endif %}

),

summed as (

    select
        what,
        sum(found) as found,
        sum(counted) as counted
    from checks
    group by 1

)

select *
from summed
where coalesce(found, 0) != coalesce(counted, 0)
