-- grain: one row per horizon and customer who had not bought at the cutoff that horizon before now
-- The population of the prior one horizon earlier, with their purchases and value up to today.
with as_of as (

    select
        as_of_date,
        first_transaction_date
    from {{ ref('int_as_of') }}

),

cutoffs as (

    {%- for horizon in shaped('clv_horizons') %}
    select
        {{ horizon }} as horizon_days,
        {{ add_days('as_of_date', -horizon) }} as cutoff_date
    from as_of
    -- Purchases before the log begins are not known.
    where
        {{ add_days('as_of_date', -horizon) }}
        >= {{ add_days('first_transaction_date', -1) }}
    {{- '\n\n    union all\n' if not loop.last }}
    {%- endfor %}

),

-- As known at the as-of date, the end of every horizon here.
purchase_days as (

    select
        customer_id,
        purchase_date,
        value_amount
    from {{ ref('int_purchase_days') }}
    where is_purchase and known_until is null

),

first_purchases as (

    select
        customer_id,
        min(purchase_date) as first_purchase_date
    from purchase_days
    group by 1

),

prospects as (

    select
        cutoffs.horizon_days,
        cutoffs.cutoff_date,
        profiled.customer_id,
        coalesce(profiled.acquisition_source, 'unknown') as acquisition_source,
        coalesce(profiled.country, profiled.first_country, 'unknown') as country
    from {{ ref('int_customers__profiled') }} as profiled
    cross join cutoffs
    left join first_purchases
        on profiled.customer_id = first_purchases.customer_id
    where
        not profiled.has_refunds_only
        and profiled.first_seen_date <= cutoffs.cutoff_date
        and (
            first_purchases.first_purchase_date is null
            or first_purchases.first_purchase_date > cutoffs.cutoff_date
        )

)

select
    prospects.horizon_days,
    prospects.customer_id,
    prospects.acquisition_source,
    prospects.country,
    count(purchase_days.purchase_date) as purchases,
    {%- if var('clv_value') == 'none' %}
    cast(null as {{ type_money() }}) as value_amount
    {%- else %}
    {{ as_money('coalesce(sum(purchase_days.value_amount), 0)') }} as value_amount
    {%- endif %}
from prospects
left join purchase_days
    on
        prospects.customer_id = purchase_days.customer_id
        and prospects.cutoff_date < purchase_days.purchase_date
group by 1, 2, 3, 4
