-- grain: one row per refund and purchase day that it reduces, and one for the part that finds none
-- A customer's days are a stack, like an order (int_refunds__aimed): a refund takes from the day it is
-- aimed at, then from earlier ones. A day that is out of reach (clv_refund_days) stays out of reach: refunds
-- are matched without the limit, and parts matched beyond it are dropped.
{{ config(**replace_months('refund_date', daily_window().lines_from)) }}
{%- set so_far = 'rows between unbounded preceding and current row' %}
with moves as (

    select *
    from {{ ref('int_refunds__moves') }}

),

refunds as (

    select
        {{ surrogate_key(['customer_id', 'order_id', 'moved_date']) }} as refund_id,
        customer_id,
        order_id,
        moved_date as refund_date,
        line_count,
        revenue_amount,
        margin_amount,
        taken as weight
    from moves
    where taken is not null

),

-- The amounts that each refund takes if its days have enough left.
aimed as (

    select
        {{ surrogate_key(['customer_id', 'order_id', 'refund_date']) }} as refund_id,
        customer_id,
        refund_date,
        is_known,
        purchase_date,
        weight,
        case when completes_refund then 1 else 0 end as completed,
        is_overdrawn
    from {{ ref('int_refunds__aimed') }}

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

overdrawn as (

    select *
    from aimed
    where is_overdrawn and weight > 0

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

-- Shortfall of every day within reach as of every refund: amounts aimed at it by then less its sales.
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
            and refunds.refund_date >= bought.purchase_date
            and {{ add_days('refunds.refund_date', -var('clv_refund_days')) }}
            <= bought.purchase_date
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

-- From the latest day backwards a shortfall is carried to the day before; a surplus is not carried.
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

-- Refunds of the same date share the amount found in the order in which they are aimed.
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
        refund_id,
        purchase_date,
        weight,
        completed
    from aimed
    where not is_overdrawn or weight = 0

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

-- Split as differences of cumulative shares, so that the parts add up exactly.
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
