-- grain: one row per cutoff: how many days without a purchase make a customer inactive
{%- set longest, shortest = 365, 60 %}
with cutoffs as (

    select
        cutoff_date,
        {{ add_days('cutoff_date', -statistics_window_days()) }}
            as window_start
    from {{ ref('int_cutoffs') }}

),

purchase_days as (

    select
        customer_id,
        cutoff_date,
        purchase_date,
        lag(purchase_date) over (
            partition by cutoff_date, customer_id
            order by purchase_date
        ) as previous_purchase_date
    from {{ ref('int_purchase_days__known') }}
    where is_on_plan is not true

),

histogram as (

    select
        purchase_days.cutoff_date,
        {{ days_between(
            'purchase_days.previous_purchase_date', 'purchase_days.purchase_date'
        ) }} as gap_days,
        count(*) as gaps
    from purchase_days
    inner join cutoffs
        on purchase_days.cutoff_date = cutoffs.cutoff_date
    where
        purchase_days.previous_purchase_date is not null
        and purchase_days.purchase_date > cutoffs.window_start
    group by 1, 2

),

cumulated as (

    select
        cutoff_date,
        gap_days,
        sum(gaps) over (
            partition by cutoff_date
            order by gap_days
            rows between unbounded preceding and current row
        ) as gaps_up_to,
        sum(gaps) over (partition by cutoff_date) as gaps
    from histogram

),

percentiles as (

    select
        cutoff_date,
        min(gap_days) as gap_days
    from cumulated
    where gaps_up_to >= {{ shaped('clv_segment_percentiles').gap }} * gaps
    group by 1

)

select
    cutoffs.cutoff_date,
    {%- if var('clv_inactivity_days') is none %}
    -- Without any repeat purchase the longest window applies.
    least(
        {{ longest }},
        greatest({{ shortest }}, coalesce(percentiles.gap_days, {{ longest }}))
    )
    {%- else %}
    -- The type of the learned window: int_segments__frozen_cut_points stores both.
    cast({{ var('clv_inactivity_days') }} as {{ type_integer() }})
    {%- endif %} as inactivity_days
from cutoffs
left join percentiles
    on cutoffs.cutoff_date = percentiles.cutoff_date
