-- grain: one row per cutoff and horizon: whether the log suffices for a forecast and for its backtest
-- The same rule holds at every cutoff: a cutoff without enough history is not fitted, so it gives no
-- backtest window either. Customers on a plan do not count: their renewals are no purchases at will.
{#-
    Simulated shops of known BG/NBD parameters (sparse, loyal, grocery; four months or a year of log),
    40 of each, fitted and compared with the truth. In 95 % of them the purchases expected over 365 days,
    all customers together, were within this factor of the true expectation, in the best kind of shop
    and in the worst: with 5 customers who have bought again 2.0 and 5.8, with 10 1.8 and 3.4, with 20
    1.3 and 3.6, with 30 1.2 and 2.3, with 50 1.2 and 1.8, with 100 1.2 and 1.6.
#}
{%- set fewest_repeat_customers = 30 %}
with months as (

    select
        transaction_month,
        min(first_transaction_date) as first_date,
        sum(line_count) as line_count
    from {{ ref('int_loads__checked') }}
    where line_count > 0
    group by 1

),

cumulated as (

    select
        first_date,
        sum(line_count) over (
            partition by 1
            order by transaction_month
            rows between unbounded preceding and current row
        ) as lines_up_to,
        sum(line_count) over (partition by 1) as line_count
    from months

),

-- The log begins where 1 % of its lines are reached, so that a single misdated line does not extend it.
span as (

    select min(first_date) as first_date
    from cumulated
    where 100 * lines_up_to >= line_count

),

cutoffs as (

    select
        cutoffs.cutoff_date,
        cutoffs.is_production,
        coalesce({{ days_between('span.first_date', 'cutoffs.cutoff_date') }}, 0)
            as log_days
    from {{ ref('int_cutoffs') }} as cutoffs
    cross join span

),

histories as (

    select
        cutoff_date,
        count(*) as buyers,
        sum(case when frequency > 0 then 1 else 0 end) as repeat_customers
    from {{ ref('int_histories__observed') }}
    where is_on_plan is not true
    group by 1

),

counted as (

    select
        cutoffs.cutoff_date,
        cutoffs.is_production,
        cutoffs.log_days,
        coalesce(histories.buyers, 0) as buyers,
        coalesce(histories.repeat_customers, 0) as repeat_customers,
        case
            when cutoffs.log_days < {{ var('clv_min_history_days') }}
                then 'log_too_short'
            when coalesce(histories.repeat_customers, 0) = 0 then 'no_repeat_purchases'
            when histories.repeat_customers < {{ fewest_repeat_customers }}
                then 'too_few_repeat_customers'
        end as withheld_because
    from cutoffs
    left join histories
        on cutoffs.cutoff_date = histories.cutoff_date

),

horizons as (

    {{ horizon_rows() | indent(4) }}

),

-- Windows completed by a cutoff that began with enough history to forecast.
windows as (

    select
        counted.cutoff_date,
        horizons.horizon_days,
        sum(
            case
                when
                    earlier.withheld_because is null
                    and {{ add_days('earlier.cutoff_date', 'horizons.horizon_days') }}
                    <= counted.cutoff_date
                    then 1
                else 0
            end
        ) as completed_windows
    from counted
    cross join horizons
    inner join counted as earlier
        on counted.cutoff_date >= earlier.cutoff_date
    group by 1, 2

),

judged as (

    select
        counted.*,
        windows.horizon_days,
        windows.completed_windows,
        coalesce(
            counted.withheld_because,
            case when windows.completed_windows = 0 then 'unchecked' else 'ready' end
        ) as status
    from counted
    inner join windows
        on counted.cutoff_date = windows.cutoff_date

),

unchecked as (

    select
        cutoff_date,
        string_agg(
            concat(cast(horizon_days as {{ type_text() }}), '-'), ', '
            order by horizon_days
        ) as horizons
    from judged
    where status = 'unchecked'
    group by 1

)

select
    judged.cutoff_date,
    judged.is_production,
    cast(judged.horizon_days as {{ type_integer() }}) as horizon_days,
    judged.log_days,
    judged.buyers,
    cast(judged.repeat_customers as {{ type_integer() }}) as repeat_customers,
    cast(judged.completed_windows as {{ type_integer() }}) as completed_windows,
    judged.withheld_because is null as is_forecast,
    judged.status,
    -- All unchecked horizons share one sentence.
    case judged.status
        when 'log_too_short'
            then concat(
                cast(judged.log_days as {{ type_text() }}),
                ' days of log: a forecast needs {{ var("clv_min_history_days") }}'
            )
        when 'no_repeat_purchases' then 'no customer has bought on a second day'
        when 'too_few_repeat_customers'
            then concat(
                'only ', cast(judged.repeat_customers as {{ type_text() }}), ' of ',
                cast(judged.buyers as {{ type_text() }}),
                ' customers have bought again: a forecast needs ',
                '{{ fewest_repeat_customers }}'
            )
        when 'unchecked'
            then concat(
                cast(judged.log_days as {{ type_text() }}), ' days of log: ',
                unchecked.horizons, 'day values have not been checked'
            )
    end as reason
from judged
left join unchecked
    on judged.cutoff_date = unchecked.cutoff_date
