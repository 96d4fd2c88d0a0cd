-- Spend delivered = spend by disposition, and what is counted there is in channel_economics.
with delivered as (

    select coalesce(sum(spend_amount), 0) as spend_amount
    from {{ ref('stg_ad_spend') }}

),

reconciled as (

    select
        coalesce(sum(delivered_amount), 0) as delivered_amount,
        coalesce(sum(case when is_counted then spend_amount end), 0) as counted_amount
    from {{ ref('ad_spend_reconciliation') }}

),

channels as (

    select coalesce(sum(acquisition_spend), 0) as spend_amount
    from {{ ref('channel_economics') }}

)

select
    delivered.spend_amount as delivered_amount,
    reconciled.delivered_amount as reconciled_amount,
    reconciled.counted_amount,
    channels.spend_amount as channel_amount
from delivered
cross join reconciled
cross join channels
where
    delivered.spend_amount != reconciled.delivered_amount
    or reconciled.counted_amount != channels.spend_amount
