-- grain: one row per customer, buyer or not
-- When they are expected to buy next, by the served forecast (int_predictions__waits), and whether they are
-- late by their own rhythm. The longest horizon is as far as it looks.
{%- set longest = shaped('clv_horizons') | max %}
with customers as (

    select
        customer_id,
        as_of_date,
        probability_purchase_365d,
        clv_source,
        model_version,
        scored_on,
        is_suppressed
    from {{ ref('customer_lifetime_value') }}

),

bought as (

    select
        customer_id,
        days_since_last_purchase
    from {{ ref('int_customers__current') }}

),

waits as (

    select
        customer_id,
        model_version,
        {%- for level in ['p10', 'p50', 'p90'] %}
        -- A wait of 0.2 days ends on the first day after the cutoff.
        cast(ceil(wait_days_{{ level }}) as {{ type_integer() }})
            as wait_days_{{ level }},
        {%- endfor %}
        typical_gap_days,
        is_overdue,
        cutoff_date
    from {{ ref('int_predictions__waits') }}
    where {{ at_as_of('cutoff_date') }}

),

judged as (

    select
        customers.customer_id,
        customers.as_of_date,
        bought.days_since_last_purchase,
        {%- for level in ['p10', 'p50', 'p90'] %}
        waits.wait_days_{{ level }},
        {%- endfor %}
        waits.typical_gap_days,
        waits.is_overdue,
        1 - customers.probability_purchase_365d as probability_no_purchase_365d,
        case
            when customers.clv_source in ('withheld', 'refunds_only', 'unscored')
                then customers.clv_source
            when customers.is_suppressed then 'suppressed'
            when customers.clv_source = 'cohort_prior' then 'not_bought_yet'
            when customers.clv_source = 'contract' then 'contract'
            when waits.customer_id is null then 'unscored'
            when waits.wait_days_p50 is null then 'not_within_{{ longest }}d'
            when waits.wait_days_p90 is null then 'open_ended'
            else 'dated'
        end as next_purchase_status,
        customers.model_version
    from customers
    left join bought
        on customers.customer_id = bought.customer_id
    left join waits
        on
            customers.customer_id = waits.customer_id
            and customers.model_version = waits.model_version
            and customers.scored_on = waits.cutoff_date

)

select
    customer_id,
    as_of_date,
    {%- for column, level, statuses in [
        ('expected_next_purchase_date', 'p50', "('dated', 'open_ended')"),
        ('next_purchase_date_p10', 'p10', "('dated', 'open_ended')"),
        ('next_purchase_date_p90', 'p90', "('dated')"),
    ] %}
    case
        when next_purchase_status in {{ statuses }}
            then {{ add_days('as_of_date', 'wait_days_' ~ level) }}
    end as {{ column }},
    {%- endfor %}
    next_purchase_status,
    probability_no_purchase_365d,
    days_since_last_purchase,
    case when next_purchase_status != 'suppressed' then typical_gap_days end
        as typical_days_between_orders,
    case when next_purchase_status != 'suppressed' then is_overdue end as is_overdue,
    model_version
from judged
