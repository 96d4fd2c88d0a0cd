-- grain: one row per customer and cutoff: what she had bought by then
with known as (

    select *
    from {{ ref('int_purchase_days__known') }}

),

caps as (

    select *
    from {{ ref('int_value_caps') }}

),

summed as (

    select
        known.customer_id,
        known.cutoff_date,
        count(*) as purchase_days,
        sum(known.order_count) as order_count,
        sum(known.value_amount) as value_amount,
        sum(
            case
                when known.value_amount > caps.value_cap then caps.value_cap
                else known.value_amount
            end
        ) as capped_value_amount,
        min(known.purchase_date) as first_purchase_date,
        max(known.purchase_date) as last_purchase_date
    from known
    left join caps
        on known.cutoff_date = caps.cutoff_date
    group by 1, 2

),

{%- if var('clv_strata') %}

stratified as (

    select
        summed.*,
        concat(
            {%- for attribute in var('clv_strata') %}
            coalesce(profiled.{{ attribute }}, 'unknown'){{ ", '|'," if not loop.last }}
            {%- endfor %}
        ) as stratum
    from summed
    inner join {{ ref('int_customers__profiled') }} as profiled
        on summed.customer_id = profiled.customer_id

)
{%- else %}

stratified as (

    select
        *,
        'all' as stratum
    from summed

)
{%- endif %}

select
    customer_id,
    stratum,
    purchase_days,
    purchase_days - 1 as frequency,
    {{ days_between('first_purchase_date', 'last_purchase_date') }} as recency_days,
    {{ days_between('first_purchase_date', 'cutoff_date') }} as age_days,
    cast(order_count as {{ type_integer() }}) as order_count,
    {{ as_money('value_amount') }} as value_amount,
    cast(value_amount as {{ type_double() }}) / purchase_days as mean_value,
    -- What the model sees. A customer who cost more than she brought is worth nothing, not less.
    case
        when capped_value_amount > 0
            then cast(capped_value_amount as {{ type_double() }}) / purchase_days
        when capped_value_amount <= 0 then 0.0
    end as capped_mean_value,
    first_purchase_date,
    last_purchase_date,
    cutoff_date
from stratified
