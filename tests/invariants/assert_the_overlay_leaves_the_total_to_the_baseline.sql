-- Served or not, the overlay summed over all customers equals the baseline, and it has all customers, but
-- those on a plan, once it has a window to be trained on.
{{ config(enabled=var('clv_overlay')) }}
with buyers as (

    select count(*) as customers
    from {{ ref('int_histories__observed') }} as histories
    inner join {{ ref('int_overlay__windows') }} as windows
        on histories.cutoff_date = windows.cutoff_date
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on histories.cutoff_date = cutoffs.cutoff_date
    where cutoffs.is_production and not histories.is_on_plan

),

overlaid as (

    select
        count(*) as customers,
        coalesce(sum(baseline_value), 0) as baseline_value,
        coalesce(sum(overlay_value), 0) as overlay_value
    from {{ ref('overlay_predictions') }}

)

select
    buyers.customers,
    overlaid.customers as overlaid_customers,
    overlaid.baseline_value,
    overlaid.overlay_value
from buyers
cross join overlaid
where
    buyers.customers != overlaid.customers
    or abs(overlaid.overlay_value - overlaid.baseline_value)
    > 1e-9 * overlaid.baseline_value
