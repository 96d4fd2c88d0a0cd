-- Lines and amounts delivered = those in revenue_reconciliation, by currency and to the digit: nothing
-- is lost or doubled on the way. Set aside for having no user or a later day are the lines that have,
-- but for duplicates of them. In the project's currency counted amounts are the delivered ones, with sales
-- positive and refunds negative; in another currency they are these at one of its rates.
with delivered as (

    select
        coalesce(lines.currency, as_of.currency, '') as currency,
        count(*) as line_count,
        sum(
            case
                when
                    lines.user_id is null
                    or {{ local_date('lines.transacted_at') }} > as_of.as_of_date
                    then 1
                else 0
            end
        ) as unusable_lines,
        coalesce(sum(lines.amount), 0) as delivered_amount
    from {{ ref('stg_transactions') }} as lines
    cross join {{ ref('int_as_of') }} as as_of
    group by 1

),

rates as (

    select
        upper(currency) as currency,
        cast(min(rate) as {{ type_double() }}) as lowest_rate,
        cast(max(rate) as {{ type_double() }}) as highest_rate
    from {{ ref('currency_rates') }}
    group by 1

),

reconciled as (

    select
        happened.currency,
        sum(happened.line_count) as line_count,
        sum(
            case
                when happened.disposition in ('no_user', 'after_as_of')
                    then happened.line_count
                else 0
            end
        ) as unusable_lines,
        sum(
            case
                when happened.disposition = 'duplicate' then happened.line_count else 0
            end
        ) as duplicate_lines,
        sum(happened.delivered_amount) as delivered_amount,
        sum(
            case
                when
                    not happened.is_counted
                    or happened.currency != coalesce(happened.revenue_currency, '')
                    then 0
                when happened.disposition = 'refund_delivered_positive'
                    then happened.revenue_amount + happened.delivered_amount
                else happened.revenue_amount - happened.delivered_amount
            end
        ) as unexplained_amount,
        -- Rounded to four digits, line by line.
        max(
            case
                when
                    happened.is_counted
                    and happened.currency != coalesce(happened.revenue_currency, '')
                    and not coalesce(
                        abs(happened.revenue_amount)
                        between rates.lowest_rate * abs(happened.delivered_amount)
                        - 0.0001 * happened.line_count
                        and rates.highest_rate * abs(happened.delivered_amount)
                        + 0.0001 * happened.line_count,
                        happened.line_count = 0
                    )
                    then 1
                else 0
            end
        ) as has_other_rate
    from {{ ref('revenue_reconciliation') }} as happened
    left join rates
        on happened.currency = rates.currency
    group by 1

)

select
    coalesce(delivered.currency, reconciled.currency) as currency,
    delivered.line_count as delivered_lines,
    reconciled.line_count as reconciled_lines,
    delivered.unusable_lines,
    reconciled.unusable_lines as lines_set_aside,
    delivered.delivered_amount,
    reconciled.delivered_amount as reconciled_amount,
    reconciled.unexplained_amount,
    reconciled.has_other_rate
from delivered
full outer join reconciled
    on delivered.currency = reconciled.currency
where
    coalesce(delivered.line_count, 0) != coalesce(reconciled.line_count, 0)
    or coalesce(delivered.unusable_lines, 0) not between reconciled.unusable_lines
    and reconciled.unusable_lines + reconciled.duplicate_lines
    or coalesce(delivered.delivered_amount, 0)
    != coalesce(reconciled.delivered_amount, 0)
    or reconciled.unexplained_amount != 0
    or reconciled.has_other_rate = 1
