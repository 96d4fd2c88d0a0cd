-- grain: one row per customer and backtest cutoff: what they bought after it, per completed horizon
-- Refunds count up to the end of the horizon: the value as a finance team knew it that day.
with observed as (

    select
        customer_id,
        cutoff_date
    from {{ ref('int_histories__observed') }}
    where {{ before_as_of('cutoff_date') }}

),

cutoffs as (

    select
        cutoff_date,
        as_of_date
    from {{ ref('int_cutoffs') }}
    where not is_production

),

purchase_days as (

    select *
    from {{ ref('int_purchase_days') }}
    where
        is_purchase
        and {{
            within_days('purchase_date', ([0] + shaped('clv_backtest_days')) | max)
        }}

),

outcomes as (

    select
        purchase_days.customer_id,
        cutoffs.cutoff_date
        {%- for horizon in shaped('clv_horizons') %}
        {%- set horizon_end = add_days('cutoffs.cutoff_date', horizon) %}
        {%- set counts %}
                purchase_days.purchase_date <= {{ horizon_end }}
                and {{ known_at(horizon_end) }}
        {%- endset %},
        sum(
            case
                when {{ counts | trim }}
                    then 1
                else 0
            end
        ) as purchases_{{ horizon }}d,
        sum(
            case
                when {{ counts | trim }}
                    then purchase_days.value_amount
                else 0
            end
        ) as value_{{ horizon }}d
        {%- endfor %}
    from purchase_days
    inner join cutoffs
        on
            purchase_days.purchase_date > cutoffs.cutoff_date
            and purchase_days.purchase_date
            <= {{ add_days('cutoffs.cutoff_date', shaped('clv_horizons') | max) }}
    group by 1, 2

)

select
    observed.customer_id,
    {%- for horizon in shaped('clv_horizons') %}
    {%- set horizon_end = add_days('cutoffs.cutoff_date', horizon) %}
    cast(
        case
            when {{ horizon_end }} <= cutoffs.as_of_date
                then coalesce(outcomes.purchases_{{ horizon }}d, 0)
        end as {{ type_integer() }}
    ) as purchases_{{ horizon }}d,
    {%- if var('clv_value') == 'none' %}
    cast(null as {{ type_money() }}) as value_{{ horizon }}d,
    {%- else %}
    case
        when {{ horizon_end }} <= cutoffs.as_of_date
            then {{ as_money('coalesce(outcomes.value_' ~ horizon ~ 'd, 0)') }}
    end as value_{{ horizon }}d,
    {%- endif %}
    {%- endfor %}
    observed.cutoff_date
from observed
inner join cutoffs
    on observed.cutoff_date = cutoffs.cutoff_date
left join outcomes
    on
        observed.customer_id = outcomes.customer_id
        and observed.cutoff_date = outcomes.cutoff_date
