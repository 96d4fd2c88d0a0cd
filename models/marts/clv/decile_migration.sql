-- grain: one row per decile of revenue in the year before last and decile in the last year
{%- set has_value = var('clv_value') != 'none' %}
{%- set measure = 'revenue_amount' if has_value else '1' %}
with as_of as (

    select
        as_of_date,
        first_transaction_date,
        {{ add_days('as_of_date', -365) }} as date_before
    from {{ ref('int_as_of') }}

),

customers as (

    select
        current_customers.customer_id,
        as_of.date_before,
        current_customers.first_purchase_date <= as_of.date_before as is_old
    from {{ ref('int_customers__current') }} as current_customers
    cross join as_of

),

-- Each year as it was known at its end: a refund after it does not change the decile of then, unless it
-- takes the customer's last purchase.
purchase_days as (

    select
        purchase_days.customer_id,
        sum(
            case
                when
                    purchase_days.purchase_date <= as_of.date_before
                    and {{ known_at('as_of.date_before') }}
                    then {{ measure }}
            end
        ) as spent_before,
        sum(
            case
                when
                    purchase_days.purchase_date > as_of.date_before
                    and purchase_days.known_until is null
                    then {{ measure }}
            end
        ) as spent_now
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join as_of
        on purchase_days.purchase_date > {{ add_days('as_of.date_before', -365) }}
    where
        purchase_days.is_purchase
        and {{ within_days('purchase_days.purchase_date', 730) }}
    group by 1

),

spent as (

    select
        customers.customer_id,
        customers.date_before,
        customers.is_old,
        purchase_days.spent_before,
        purchase_days.spent_now
    from customers
    left join purchase_days
        on customers.customer_id = purchase_days.customer_id

),

{%- for year in ['before', 'now'] %}

-- Ties share a decile, so that no worker has to sort every customer.
histogram_{{ year }} as (

    select
        date_before,
        spent_{{ year }},
        count(*) as customers
    from spent
    where spent_{{ year }} is not null
    group by 1, 2

),

ranked_{{ year }} as (

    select
        spent_{{ year }},
        sum(customers) over (
            partition by date_before
            order by spent_{{ year }}
            rows between unbounded preceding and current row
        ) - customers as customers_below,
        sum(customers) over (partition by date_before) as all_customers
    from histogram_{{ year }}

),

deciles_{{ year }} as (

    select
        spent_{{ year }},
        case cast(floor(10 * customers_below / all_customers) as {{ type_integer() }})
            {%- for number in range(10) %}
            when {{ number }} then '{{ '%02d' % (number + 1) }}'
            {%- endfor %}
        end as decile
    from ranked_{{ year }}

),
{%- endfor %}

placed as (

    select
        spent.spent_before,
        spent.spent_now,
        case
            when deciles_before.decile is not null then deciles_before.decile
            when spent.is_old then 'no_purchase'
            else 'not_yet_a_customer'
        end as decile_before,
        coalesce(deciles_now.decile, 'no_purchase') as decile_now
    from spent
    left join deciles_before
        on spent.spent_before = deciles_before.spent_before
    left join deciles_now
        on spent.spent_now = deciles_now.spent_now

),

summed as (

    select
        decile_before,
        decile_now,
        count(*) as customers,
        sum(spent_before) as spent_before,
        sum(spent_now) as spent_now
    from placed
    group by 1, 2

)

select
    summed.decile_before,
    summed.decile_now,
    as_of.date_before,
    as_of.as_of_date,
    summed.customers,
    cast(summed.customers as {{ type_double() }})
    / sum(summed.customers) over (partition by summed.decile_before) as share_of_before,
    {%- if has_value %}
    {{ as_money('coalesce(summed.spent_before, 0)') }} as revenue_before_amount,
    {{ as_money('coalesce(summed.spent_now, 0)') }} as revenue_now_amount,
    {%- else %}
    cast(null as {{ type_money() }}) as revenue_before_amount,
    cast(null as {{ type_money() }}) as revenue_now_amount,
    {%- endif %}
    as_of.first_transaction_date > {{ add_days('as_of.date_before', -364) }}
        as is_truncated
from summed
cross join as_of
