-- grain: one row per refund and purchase day that it reduces as long as the day has enough left
-- An order is a stack: a sale pushes its amount, a refund pops from the top. An amount that exceeds the
-- order, or that names no order, is aimed at the refund's home day.
{%- set so_far = 'rows between unbounded preceding and current row' %}
with moves as (

    select *
    from {{ ref('int_refunds__moves') }}

),

refunded_orders as (

    select distinct
        customer_id,
        order_id
    from moves
    where is_known and taken is not null

),

-- Balance of the order after each day, kept at zero or above.
balances as (

    select
        moves.*,
        sum(
            coalesce(moves.sold, 0)
            - case when moves.is_known then coalesce(moves.taken, 0) else 0 end
        ) over (
            partition by moves.customer_id, moves.order_id
            order by moves.moved_date
            {{ so_far }}
        ) as balance
    from moves
    inner join refunded_orders
        on
            moves.customer_id = refunded_orders.customer_id
            and moves.order_id = refunded_orders.order_id

),

stacks as (

    select
        *,
        balance - least(
            min(balance) over (
                partition by customer_id, order_id
                order by moved_date
                {{ so_far }}
            ), 0
        ) as remaining
    from balances

),

sales as (

    select
        *,
        -- Balance before this day's sale.
        coalesce(
            lag(remaining) over (
                partition by customer_id, order_id
                order by moved_date
            ), 0
        ) as below
    from stacks

),

-- The part of a day's sale that is left: the lowest balance since, less the balance before the sale.
parts as (

    select
        bought.customer_id,
        bought.order_id,
        bought.moved_date as purchase_date,
        refunds.moved_date as refund_date,
        bought.sold,
        greatest(
            least(
                min(refunds.remaining) over (
                    partition by
                        bought.customer_id, bought.order_id, bought.moved_date
                    order by refunds.moved_date
                    {{ so_far }}
                ) - bought.below,
                bought.sold
            ), 0
        ) as remaining
    from sales as bought
    inner join stacks as refunds
        on
            bought.customer_id = refunds.customer_id
            and bought.order_id = refunds.order_id
            -- At most clv_refund_days apart.
            and bought.moved_date <= refunds.moved_date
            and bought.moved_date
            >= {{ add_days('refunds.moved_date', -var('clv_refund_days')) }}
    where bought.sold > 0 and refunds.taken > 0

),

pieces as (

    select
        *,
        coalesce(
            lag(remaining) over (
                partition by customer_id, order_id, purchase_date
                order by refund_date
            ), sold
        ) - remaining as weight
    from parts

),

own as (

    select
        customer_id,
        order_id,
        refund_date,
        true as is_known,
        purchase_date,
        weight,
        case when remaining = 0 then 1 else 0 end as completed
    from pieces
    where weight > 0

),

own_sums as (

    select
        customer_id,
        order_id,
        refund_date,
        sum(weight) as weight
    from own
    group by 1, 2, 3

),

both_ways as (

    select *
    from own

    union all

    select
        moves.customer_id,
        moves.order_id,
        moves.moved_date as refund_date,
        moves.is_known,
        moves.home_date as purchase_date,
        moves.taken - coalesce(own_sums.weight, 0) as weight,
        0 as completed
    from moves
    left join own_sums
        on
            moves.customer_id = own_sums.customer_id
            and moves.order_id = own_sums.order_id
            and moves.moved_date = own_sums.refund_date
    where
        moves.home_date is not null
        and (own_sums.weight is null or moves.taken > own_sums.weight)

),

aimed as (

    select
        customer_id,
        order_id,
        refund_date,
        is_known,
        purchase_date,
        sum(weight) as weight,
        max(completed) as completed
    from both_ways
    group by 1, 2, 3, 4, 5

),

days as (

    select
        customer_id,
        moved_date as purchase_date,
        sum(sold) as sold
    from moves
    where sold is not null
    group by 1, 2

),

compared as (

    select
        aimed.*,
        sum(aimed.weight) over (
            partition by aimed.customer_id, aimed.purchase_date
        ) > days.sold as is_overdrawn_day
    from aimed
    inner join days
        on
            aimed.customer_id = days.customer_id
            and aimed.purchase_date = days.purchase_date

)

select
    customer_id,
    order_id,
    weight,
    is_known,
    completed = 1 as completes_refund,
    -- Per customer: if any day is overdrawn, the excess is taken from earlier days.
    max(case when is_overdrawn_day then 1 else 0 end) over (
        partition by customer_id
    ) = 1 as is_overdrawn,
    purchase_date,
    refund_date
from compared
