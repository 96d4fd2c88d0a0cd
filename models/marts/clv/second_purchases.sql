-- grain: one row per month of first purchase and first channel, and one per month over all channels
{%- set windows = [30, 60, 90, 180, 365] %}
{%- set longest = windows | max %}
{%- set has_value = var('clv_value') != 'none' %}
with as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

members as (

    select
        current_customers.customer_id,
        current_customers.first_purchase_date,
        {{ month_start('current_customers.first_purchase_date') }} as cohort_month,
        coalesce(profiled.first_channel, 'unknown') as channel
    from {{ ref('int_customers__current') }} as current_customers
    left join {{ ref('int_customers__profiled') }} as profiled
        on current_customers.customer_id = profiled.customer_id

),

purchase_days as (

    select *
    from {{ ref('int_purchase_days') }}
    where is_purchase and known_until is null

),

histories as (

    select
        members.customer_id,
        members.cohort_month,
        members.channel,
        members.first_purchase_date,
        min(
            case
                when purchase_days.purchase_date > members.first_purchase_date
                    then purchase_days.purchase_date
            end
        ) as second_purchase_date,
        count(*) - 1 as later_purchase_days,
        sum(
            case
                when purchase_days.purchase_date = members.first_purchase_date
                    then purchase_days.value_amount
                else 0
            end
        ) as first_value_amount,
        sum(
            case
                when purchase_days.purchase_date > members.first_purchase_date
                    then purchase_days.value_amount
                else 0
            end
        ) as later_value_amount
    from members
    inner join purchase_days
        on members.customer_id = purchase_days.customer_id
    group by 1, 2, 3, 4

),

-- Null days: no second purchase so far.
histogram as (

    select
        cohort_month,
        channel,
        {{ days_between('first_purchase_date', 'second_purchase_date') }}
            as days_to_second,
        count(*) as customers,
        sum(later_purchase_days) as later_purchase_days,
        sum(first_value_amount) as first_value_amount,
        sum(later_value_amount) as later_value_amount
    from histories
    group by 1, 2, 3

),

grouped as (

    select
        *,
        'channel' as group_type
    from histogram

    union all

    select
        cohort_month,
        'all' as channel,
        days_to_second,
        sum(customers) as customers,
        sum(later_purchase_days) as later_purchase_days,
        sum(first_value_amount) as first_value_amount,
        sum(later_value_amount) as later_value_amount,
        'all' as group_type
    from histogram
    group by 1, 2, 3

),

-- Customers up to each number of days, who bought again within the longest window.
cumulated as (

    select
        group_type,
        cohort_month,
        channel,
        days_to_second,
        sum(customers) over (
            partition by group_type, cohort_month, channel
            order by days_to_second
            rows between unbounded preceding and current row
        ) as customers_to_here,
        sum(customers) over (partition by group_type, cohort_month, channel)
            as converted_customers
    from grouped
    where days_to_second <= {{ longest }}

),

medians as (

    select
        group_type,
        cohort_month,
        channel,
        min(days_to_second) as median_days
    from cumulated
    where 2 * customers_to_here >= converted_customers
    group by 1, 2, 3

),

summed as (

    select
        group_type,
        cohort_month,
        channel,
        sum(customers) as customers,
        {%- for days in windows %}
        sum(case when days_to_second <= {{ days }} then customers else 0 end)
            as converted_{{ days }}d,
        {%- endfor %}
        sum(case when days_to_second is not null then customers else 0 end)
            as repeat_customers,
        sum(later_purchase_days) as later_purchase_days,
        sum(first_value_amount) as first_value_amount,
        sum(later_value_amount) as later_value_amount
    from grouped
    group by 1, 2, 3

),

-- A window is complete once it has ended for the last day of the month.
judged as (

    select
        summed.*,
        as_of.as_of_date,
        medians.median_days,
        {%- for days in windows %}
        {{ add_days(add_months('summed.cohort_month', 1), days - 1) }}
        <= as_of.as_of_date as is_complete_{{ days }}d,
        {%- endfor %}
        {{ add_months('summed.cohort_month', 1) }}
        > {{ add_days('as_of.as_of_date', 1) }} as is_truncated
    from summed
    cross join as_of
    left join medians
        on
            summed.group_type = medians.group_type
            and summed.cohort_month = medians.cohort_month
            and summed.channel = medians.channel

)

select
    group_type,
    channel,
    cohort_month,
    cast(customers as {{ type_integer() }}) as customers,
    {%- for days in windows %}
    cast(
        case when is_complete_{{ days }}d then converted_{{ days }}d end
        as {{ type_integer() }}
    ) as converted_{{ days }}d,
    {%- endfor %}
    {%- for days in windows %}
    case
        when is_complete_{{ days }}d
            then cast(converted_{{ days }}d as {{ type_double() }}) / customers
    end as conversion_{{ days }}d,
    {%- endfor %}
    cast(
        case when is_complete_{{ longest }}d then median_days end
        as {{ type_integer() }}
    ) as median_days_to_second,
    cast(repeat_customers as {{ type_integer() }}) as repeat_customers,
    cast(repeat_customers as {{ type_double() }}) / customers as repeat_rate_to_date,
    cast(later_purchase_days as {{ type_integer() }}) as later_purchase_days,
    {%- if has_value %}
    {{ as_money('first_value_amount') }} as first_value_amount,
    {{ as_money('later_value_amount') }} as later_value_amount,
    cast(first_value_amount as {{ type_double() }}) / customers
        as first_value_per_customer,
    cast(later_value_amount as {{ type_double() }}) / nullif(later_purchase_days, 0)
        as later_value_per_purchase_day,
    cast(first_value_amount + later_value_amount as {{ type_double() }}) / customers
        as value_to_date_per_customer,
    {%- else %}
    cast(null as {{ type_money() }}) as first_value_amount,
    cast(null as {{ type_money() }}) as later_value_amount,
    cast(null as {{ type_double() }}) as first_value_per_customer,
    cast(null as {{ type_double() }}) as later_value_per_purchase_day,
    cast(null as {{ type_double() }}) as value_to_date_per_customer,
    {%- endif %}
    is_truncated
from judged
