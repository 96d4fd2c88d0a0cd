-- grain: one row per customer and cutoff: what they had bought by then
with {% if is_daily() -%}
-- Days that the last full run summed (int_purchases__closed) are not read again.
summed as (

    select
        purchases.customer_id,
        cutoffs.cutoff_date,
        purchases.purchase_days,
        purchases.order_count,
        purchases.value_amount,
        purchases.capped_value_amount,
        cast(null as {{ type_double() }}) as ln_values,
        purchases.first_purchase_date,
        purchases.last_purchase_date
    from {{ ref('int_purchases__to_date') }} as purchases
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on cutoffs.is_production
    where purchases.purchase_days > 0

),
{%- else -%}
summed as (

    select
        known.customer_id,
        known.cutoff_date,
        case
            when min(known.value_amount) > 0
                then sum(
                    case
                        when known.value_amount > 0
                            then ln(
                                cast(
                                    least(known.value_amount, caps.value_cap)
                                    as {{ type_double() }}
                                )
                            )
                    end
                )
        end as ln_values,
        {{ purchase_sums('known', 'caps.value_cap') | indent(4) }}
    from {{ ref('int_purchase_days__known') }} as known
    left join {{ ref('int_value_caps') }} as caps
        on known.cutoff_date = caps.cutoff_date
    group by 1, 2

),
{%- endif %}

listed as (

    select customer_id
    from {{ ref('int_contracts__listed') }}
    where billing_period_days is not null

),

{%- if shaped('clv_strata') %}

stratified as (

    select
        summed.*,
        listed.customer_id is not null as is_on_plan,
        concat(
            {%- for attribute in shaped('clv_strata') %}
            coalesce(profiled.{{ attribute }}, 'unknown'){{ ", '|'," if not loop.last }}
            {%- endfor %}
        ) as stratum
    from summed
    inner join {{ ref('int_customers__profiled') }} as profiled
        on summed.customer_id = profiled.customer_id
    left join listed
        on summed.customer_id = listed.customer_id

)
{%- else %}

stratified as (

    select
        summed.*,
        listed.customer_id is not null as is_on_plan,
        'all' as stratum
    from summed
    left join listed
        on summed.customer_id = listed.customer_id

)
{%- endif %}

select
    customer_id,
    stratum,
    is_on_plan,
    purchase_days,
    purchase_days - 1 as frequency,
    {{ days_between('first_purchase_date', 'last_purchase_date') }} as recency_days,
    {{ days_between('first_purchase_date', 'cutoff_date') }} as age_days,
    cast(order_count as {{ type_integer() }}) as order_count,
    {{ as_money('value_amount') }} as value_amount,
    cast(value_amount as {{ type_double() }}) / purchase_days as mean_value,
    -- Input of the fit. A negative value is set to zero.
    case
        when capped_value_amount > 0
            then cast(capped_value_amount as {{ type_double() }}) / purchase_days
        when capped_value_amount <= 0 then 0.0
    end as capped_mean_value,
    case
        when ln_values is not null
            then
                ln_values
                - purchase_days * ln(cast(capped_value_amount as {{ type_double() }}))
    end as ln_shares,
    first_purchase_date,
    last_purchase_date,
    cutoff_date
from stratified
