-- grain: one row per customer, backtest cutoff and completed horizon: naive forecasts from averages
-- Averages use only data up to the cutoff: actuals of the last horizon before it, by the RFM cell that
-- customers had when that horizon began. They need 100 such customers overall and 20 in a cell.
-- Value is that of repeat purchases, or with var clv_value none their number. Null where the log before
-- the cutoff is shorter than the horizon. Averages include customers on a plan, whom no backtest reads.
{%- set horizons = shaped('clv_horizons') %}
{%- set value = '1' if var('clv_value') == 'none' else 'known.value_amount' %}
with known as (

    select
        known.customer_id,
        cutoffs.cutoff_date,
        known.purchase_date,
        {{ value }} as value_amount,
        min(known.purchase_date) over (
            partition by known.customer_id, cutoffs.cutoff_date
        ) as first_purchase_date,
        cutoffs.as_of_date
    from {{ ref('int_purchase_days') }} as known
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on {{ known_at('cutoffs.cutoff_date', 'known') }}
    where
        known.is_purchase
        and not cutoffs.is_production
        and {{ before_as_of(
            'known.purchase_date', shaped('clv_backtest_days') | min | default(1, true)
        ) }}

),

summed as (

    select
        customer_id,
        cutoff_date,
        as_of_date,
        {%- for horizon in horizons %}
        {%- set before = 'purchase_date <= ' ~ add_days('cutoff_date', -horizon) %}
        max(case when {{ before }} then purchase_date end) as last_date_{{ horizon }}d,
        sum(case when {{ before }} then 1 else 0 end) as purchase_days_{{ horizon }}d,
        sum(case when {{ before }} then value_amount else 0 end)
            as value_before_{{ horizon }}d,
        sum(
            case
                when {{ before }} or purchase_date = first_purchase_date then 0
                else value_amount
            end
        ) as value_last_{{ horizon }}d,
        {%- endfor %}
        min(purchase_date) as first_date,
        max(purchase_date) as last_date,
        count(*) as purchase_days,
        sum(value_amount) as value_amount
    from known
    group by 1, 2, 3

),

averages as (

    select
        cutoff_date,
        {%- for horizon in horizons %}
        {%- set then = 'purchase_days_' ~ horizon ~ 'd' %}
        avg(case when {{ then }} > 0 then {{ then }} end) as {{ then }},
        avg(case when {{ then }} > 0 then value_before_{{ horizon }}d end)
            as value_before_{{ horizon }}d,
        {%- endfor %}
        min(first_date) as first_date,
        avg(purchase_days) as purchase_days,
        avg(value_amount) as value_amount
    from summed
    group by 1

),

-- The customer as they are at the cutoff, and as they were one horizon before.
completed as (

    {% for horizon in horizons -%}
    select
        summed.customer_id,
        summed.cutoff_date,
        {{ horizon }} as horizon_days,
        case
            when
                {{ days_between('averages.first_date', 'summed.cutoff_date') }}
                >= {{ horizon }}
                then cast(summed.value_last_{{ horizon }}d as {{ type_double() }})
        end as value_last,
        {{ rfm_cell(
            days_between('summed.last_date', 'summed.cutoff_date'),
            'purchase_days', 'value_amount'
        ) | indent(8) }} as cell,
        case
            when summed.purchase_days_{{ horizon }}d > 0 then {{ rfm_cell(
                days_between('summed.last_date_' ~ horizon ~ 'd', 'summed.cutoff_date')
                ~ ' - ' ~ horizon,
                'purchase_days_' ~ horizon ~ 'd', 'value_before_' ~ horizon ~ 'd'
            ) | indent(12) }}
        end as cell_before
    from summed
    inner join averages
        on summed.cutoff_date = averages.cutoff_date
    where {{ add_days('summed.cutoff_date', horizon) }} <= summed.as_of_date
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

means as (

    select
        cutoff_date,
        horizon_days,
        avg(value_last) as mean_value
    from completed
    where cell_before is not null
    group by 1, 2
    having count(*) >= 100

),

cell_means as (

    select
        cutoff_date,
        horizon_days,
        cell_before as cell,
        avg(value_last) as mean_value
    from completed
    where cell_before is not null
    group by 1, 2, 3
    having count(*) >= 20

)

select
    completed.customer_id,
    completed.horizon_days,
    completed.value_last as last_horizon,
    means.mean_value as mean,
    case
        when means.mean_value is not null
            then coalesce(cell_means.mean_value, means.mean_value)
    end as rfm_cell_mean,
    completed.cutoff_date
from completed
left join means
    on
        completed.cutoff_date = means.cutoff_date
        and completed.horizon_days = means.horizon_days
left join cell_means
    on
        completed.cutoff_date = cell_means.cutoff_date
        and completed.horizon_days = cell_means.horizon_days
        and completed.cell = cell_means.cell
