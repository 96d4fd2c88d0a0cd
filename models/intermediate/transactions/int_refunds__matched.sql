-- grain: one row per refund and purchase day that it reduces, and one for what finds none
-- An order is a stack, and so are a customer's days: a sale lays its amount on top, a refund takes from
-- the top, or from its order's day down. Reach only moves on with the calendar, so that what is out of
-- reach once stays so: all is taken as if there were no reach, and what comes from beyond it is dropped.
{{ config(**replace_months('refund_date', daily_window().lines_from)) }}
{%- set is_priced = var('clv_value') != 'none' %}
{#- What a refund can have come from: not later than it, nor more than clv_refund_days earlier. #}
{%- set within_reach -%}
    bought.purchase_date <= refunds.refund_date
            and bought.purchase_date
            >= {{ add_days('refunds.refund_date', -var('clv_refund_days')) }}
{%- endset %}
{%- set so_far = 'rows between unbounded preceding and current row' %}
with refunds as (

    select
        {{ surrogate_key(['customer_id', 'order_id', 'transaction_date']) }}
            as refund_id,
        customer_id,
        order_id,
        transaction_date as refund_date,
        sum(line_count) as line_count,
        -sum(revenue_amount) as revenue_amount,
        -sum(margin_amount) as margin_amount,
        -- What is compared: revenue, or lines where nothing has an amount.
        {{ 'coalesce(-sum(revenue_amount), 0)' if is_priced else 'sum(line_count)' }}
            as weight
    from {{ ref('int_transactions__resolved') }}
    where is_counted and is_refund
    {%- if is_daily() %}
        and {{ since('transaction_date', daily_window().reach_from) }}
    {%- endif %}
    group by 1, 2, 3, 4

),

refunded_customers as (

    select distinct customer_id
    from refunds

),

-- Who took nothing back is left out early.
bought as (

    select
        lines.customer_id,
        lines.order_id,
        lines.transaction_date as purchase_date,
        {{ 'coalesce(sum(lines.revenue_amount), 0)' if is_priced
            else 'sum(lines.line_count)' }} as weight
    from {{ ref('int_transactions__resolved') }} as lines
    inner join refunded_customers
        on lines.customer_id = refunded_customers.customer_id
    where lines.is_counted and not lines.is_refund
    {%- if is_daily() %}
        and {{ since('lines.transaction_date', daily_window().reach_from) }}
    {%- endif %}
    group by 1, 2, 3

),

orders as (

    select
        customer_id,
        order_id,
        min(purchase_date) as first_purchase_date
    from bought
    where order_id is not null
    group by 1, 2

    union all

    select
        settled.customer_id,
        settled.order_id,
        settled.first_purchase_date
    from {{ ref('int_orders__settled') }} as settled
    inner join refunded_customers
        on settled.customer_id = refunded_customers.customer_id

),

-- Refunds that name an order which the log had by their day, however old.
known as (

    select refunds.refund_id
    from refunds
    inner join orders
        on
            refunds.customer_id = orders.customer_id
            and refunds.order_id = orders.order_id
            and refunds.refund_date >= orders.first_purchase_date
    group by 1

),

judged as (

    select
        refunds.*,
        known.refund_id is not null as is_known
    from refunds
    left join known
        on refunds.refund_id = known.refund_id

),

-- The day that a refund is of: its order's latest within reach, or the customer's.
homes as (

    select
        refunds.refund_id,
        max(bought.purchase_date) as purchase_date
    from judged as refunds
    inner join bought
        on
            refunds.customer_id = bought.customer_id
            and {{ within_reach }}
    where not refunds.is_known or refunds.order_id = bought.order_id
    group by 1

),

-- First the order. What is left of it after each day: a balance that cannot be less than nothing.
order_moves as (

    select
        refunds.customer_id,
        refunds.order_id,
        bought.purchase_date as moved_date,
        max(bought.weight) as sold,
        0 as taken
    from judged as refunds
    inner join bought
        on
            refunds.customer_id = bought.customer_id
            and refunds.order_id = bought.order_id
    where refunds.is_known
    group by 1, 2, 3

    union all

    select
        customer_id,
        order_id,
        refund_date as moved_date,
        0 as sold,
        weight as taken
    from judged
    where is_known

),

order_days as (

    select
        customer_id,
        order_id,
        moved_date,
        sum(sold) as sold,
        sum(taken) as taken
    from order_moves
    group by 1, 2, 3

),

order_balances as (

    select
        *,
        sum(sold - taken) over (
            partition by customer_id, order_id
            order by moved_date
            {{ so_far }}
        ) as balance
    from order_days

),

order_stacks as (

    select
        customer_id,
        order_id,
        moved_date as purchase_date,
        moved_date as refund_date,
        sold,
        taken,
        balance - least(
            min(balance) over (
                partition by customer_id, order_id
                order by moved_date
                {{ so_far }}
            ), 0
        ) as remaining
    from order_balances

),

order_sales as (

    select
        *,
        -- What lies under this day's sale.
        coalesce(
            lag(remaining) over (
                partition by customer_id, order_id
                order by purchase_date
            ), 0
        ) as below
    from order_stacks

),

-- A day's part of the order is what the stack has not fallen below since.
order_parts as (

    select
        bought.customer_id,
        bought.order_id,
        bought.purchase_date,
        refunds.refund_date,
        bought.sold,
        greatest(
            least(
                min(refunds.remaining) over (
                    partition by
                        bought.customer_id, bought.order_id, bought.purchase_date
                    order by refunds.refund_date
                    {{ so_far }}
                ) - bought.below,
                bought.sold
            ), 0
        ) as remaining
    from order_sales as bought
    inner join order_stacks as refunds
        on
            bought.customer_id = refunds.customer_id
            and bought.order_id = refunds.order_id
            and {{ within_reach }}
    where bought.sold > 0 and refunds.taken > 0

),

order_pieces as (

    select
        *,
        coalesce(
            lag(remaining) over (
                partition by customer_id, order_id, purchase_date
                order by refund_date
            ), sold
        ) - remaining as weight
    from order_parts

),

own as (

    select
        refunds.refund_id,
        order_pieces.purchase_date,
        order_pieces.weight,
        order_pieces.remaining = 0 as completes_refund
    from order_pieces
    inner join judged as refunds
        on
            order_pieces.customer_id = refunds.customer_id
            and order_pieces.order_id = refunds.order_id
            and order_pieces.refund_date = refunds.refund_date
    where order_pieces.weight > 0

),

own_sums as (

    select
        refund_id,
        sum(weight) as weight
    from own
    group by 1

),

aimed_parts as (

    select *
    from own

    union all

    select
        homes.refund_id,
        homes.purchase_date,
        judged.weight - coalesce(own_sums.weight, 0) as weight,
        false as completes_refund
    from homes
    inner join judged
        on homes.refund_id = judged.refund_id
    left join own_sums
        on homes.refund_id = own_sums.refund_id
    where own_sums.refund_id is null or judged.weight > own_sums.weight

),

-- What each refund would take if its days had enough.
aimed as (

    select
        judged.refund_id,
        judged.customer_id,
        judged.refund_date,
        judged.is_known,
        aimed_parts.purchase_date,
        sum(aimed_parts.weight) as weight,
        max(case when aimed_parts.completes_refund then 1 else 0 end) as completed
    from aimed_parts
    inner join judged
        on aimed_parts.refund_id = judged.refund_id
    group by 1, 2, 3, 4, 5

),

days as (

    select
        customer_id,
        purchase_date,
        sum(weight) as sold
    from bought
    group by 1, 2

),

aimed_days as (

    select
        customer_id,
        purchase_date,
        sum(weight) as weight
    from aimed
    group by 1, 2

),

-- Only these have a refund of more than its day.
overdrawn_customers as (

    select aimed_days.customer_id
    from aimed_days
    inner join days
        on
            aimed_days.customer_id = days.customer_id
            and aimed_days.purchase_date = days.purchase_date
    where aimed_days.weight > days.sold
    group by 1

),

overdrawn as (

    select aimed.*
    from aimed
    inner join overdrawn_customers
        on aimed.customer_id = overdrawn_customers.customer_id
    where aimed.weight > 0

),

refund_dates as (

    select distinct
        customer_id,
        refund_date
    from overdrawn

),

refund_days as (

    select
        customer_id,
        purchase_date,
        refund_date,
        sum(weight) as weight
    from overdrawn
    group by 1, 2, 3

),

-- Every day within reach as of every refund: what it lacks for all that was aimed at it by then.
lacking as (

    select
        refunds.customer_id,
        refunds.refund_date,
        bought.purchase_date,
        bought.sold,
        sum(coalesce(refund_days.weight, 0)) over (
            partition by refunds.customer_id, bought.purchase_date
            order by refunds.refund_date
            {{ so_far }}
        ) - bought.sold as lack
    from refund_dates as refunds
    inner join days as bought
        on
            refunds.customer_id = bought.customer_id
            and {{ within_reach }}
    left join refund_days
        on
            refunds.customer_id = refund_days.customer_id
            and refunds.refund_date = refund_days.refund_date
            and bought.purchase_date = refund_days.purchase_date

),

lacking_so_far as (

    select
        *,
        sum(lack) over (
            partition by customer_id, refund_date
            order by purchase_date desc
            {{ so_far }}
        ) as lack_so_far
    from lacking

),

-- From the latest day back: what a day lacks goes to the next, what it has is no help to later ones.
carried as (

    select
        *,
        lack_so_far - least(
            min(lack_so_far) over (
                partition by customer_id, refund_date
                order by purchase_date desc
                {{ so_far }}
            ), 0
        ) as carry
    from lacking_so_far

),

taken_to_date as (

    select
        customer_id,
        refund_date,
        purchase_date,
        sold + lack - carry + coalesce(
            lag(carry) over (
                partition by customer_id, refund_date
                order by purchase_date desc
            ), 0
        ) as taken
    from carried

),

found_days as (

    select
        customer_id,
        refund_date,
        purchase_date,
        taken - coalesce(
            lag(taken) over (
                partition by customer_id, purchase_date
                order by refund_date
            ), 0
        ) as weight
    from taken_to_date

),

found as (

    select
        *,
        sum(weight) over (
            partition by customer_id, refund_date
            order by purchase_date desc
            {{ so_far }}
        ) as until
    from found_days
    where weight > 0

),

-- The refunds of a day share what they found in the order in which they are aimed.
sharing as (

    select
        *,
        sum(weight) over (
            partition by customer_id, refund_date
            order by purchase_date desc, is_known desc, refund_id asc
            {{ so_far }}
        ) as until
    from overdrawn

),

pieces as (

    select
        sharing.refund_id,
        found.purchase_date,
        least(sharing.until, found.until)
        - greatest(sharing.until - sharing.weight, found.until - found.weight)
            as weight,
        case
            when sharing.purchase_date = found.purchase_date then sharing.completed
            else 0
        end as completed
    from sharing
    inner join found
        on
            sharing.customer_id = found.customer_id
            and sharing.refund_date = found.refund_date
            and sharing.until - sharing.weight < found.until
            and sharing.until > found.until - found.weight

    union all

    select
        aimed.refund_id,
        aimed.purchase_date,
        aimed.weight,
        aimed.completed
    from aimed
    left join overdrawn_customers
        on aimed.customer_id = overdrawn_customers.customer_id
    where overdrawn_customers.customer_id is null or aimed.weight = 0

),

placed as (

    select
        refund_id,
        purchase_date,
        sum(weight) as weight,
        max(completed) as completed
    from pieces
    group by 1, 2

),

placed_sums as (

    select
        refund_id,
        sum(weight) as weight
    from placed
    group by 1

),

shares as (

    select
        refund_id,
        purchase_date,
        weight,
        completed
    from placed

    union all

    select
        refunds.refund_id,
        cast(null as date) as purchase_date,
        refunds.weight - coalesce(placed_sums.weight, 0) as weight,
        0 as completed
    from refunds
    left join placed_sums
        on refunds.refund_id = placed_sums.refund_id
    where placed_sums.refund_id is null or refunds.weight > placed_sums.weight

),

summed_shares as (

    select
        *,
        sum(weight) over (
            partition by refund_id
            order by
                case when purchase_date is null then 1 else 0 end asc,
                purchase_date desc
            {{ so_far }}
        ) as weight_so_far
    from shares

),

-- Shared out as the difference of two running parts: they add up to the digit.
shared as (

    select
        refunds.*,
        shares.purchase_date,
        shares.completed,
        shares.weight = refunds.weight as is_whole,
        cast(shares.weight_so_far as {{ type_double() }})
        / cast(nullif(refunds.weight, 0) as {{ type_double() }}) as part_until,
        cast(shares.weight_so_far - shares.weight as {{ type_double() }})
        / cast(nullif(refunds.weight, 0) as {{ type_double() }}) as part_from
    from summed_shares as shares
    inner join refunds
        on shares.refund_id = refunds.refund_id

)

select
    refund_id,
    customer_id,
    order_id,
    cast(
        case
            when is_whole then line_count
            else round(line_count * part_until) - round(line_count * part_from)
        end as {{ type_integer() }}
    ) as line_count,
    {%- for amount in ['revenue_amount', 'margin_amount'] %}
    case
        when is_whole then {{ as_money(amount) }}
        else
            {{ as_money(amount ~ ' * part_until') }}
            - {{ as_money(amount ~ ' * part_from') }}
    end as {{ amount }},
    {%- endfor %}
    completed = 1 as completes_refund,
    purchase_date is not null as is_matched,
    purchase_date,
    refund_date
from shared
{%- if is_daily() %}
where {{ since('refund_date', daily_window().lines_from) }}
{%- endif %}
