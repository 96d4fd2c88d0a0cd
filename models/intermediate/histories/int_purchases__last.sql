-- grain: one row per customer and cutoff with purchase days in the longest horizon before it
-- What the purchase model does not use: how recent the purchases are, and the customer's purchases and
-- value in a window before the cutoff as long as each horizon.
{%- set horizons = shaped('clv_horizons') %}
{%- set longest = horizons | max %}
with cutoffs as (

    select
        cutoff_date,
        {{ add_days('cutoff_date', -longest) }} as window_start
    from {{ ref('int_cutoffs') }}

),

purchases as (

    select
        purchase_days.customer_id,
        purchase_days.value_amount,
        cutoffs.cutoff_date,
        {{ days_between('purchase_days.purchase_date', 'cutoffs.cutoff_date') }}
            as days_ago
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join cutoffs
        on
            purchase_days.purchase_date > cutoffs.window_start
            and {{ known_at('cutoffs.cutoff_date') }}
    where
        purchase_days.is_purchase
        {%- if is_daily() %}
        and purchase_days.known_until is null
        and {{ since('purchase_days.purchase_date', daily_window().year_from) }}
        {%- else %}
        and {{ within_days(
            'purchase_days.purchase_date', longest + ([0] + shaped('clv_backtest_days')) | max
        ) }}
        {%- endif %}

)

select
    customer_id,
    {%- for days in forgetting_days() %}
    sum(exp(-days_ago / {{ days }}.0)) as weighted_purchases_{{ days }}d,
    {%- endfor %}
    {%- for horizon in horizons %}
    cast(
        sum(case when days_ago < {{ horizon }} then 1 else 0 end)
        as {{ type_integer() }}
    ) as purchases_{{ horizon }}d,
    {%- if var('clv_value') == 'none' %}
    cast(null as {{ type_double() }}) as value_{{ horizon }}d,
    {%- else %}
    cast(
        sum(case when days_ago < {{ horizon }} then value_amount else 0 end)
        as {{ type_double() }}
    ) as value_{{ horizon }}d,
    {%- endif %}
    {%- endfor %}
    cutoff_date
from purchases
group by 1, {{ forgetting_days() | length + 2 * horizons | length + 2 }}
