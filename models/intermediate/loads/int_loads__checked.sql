-- grain: one row per month and currency, delivered now or in the last accepted load, and its fault
-- A fault stops the run before int_as_of, from which everything else descends: the marts of the last
-- good run are not replaced.
{%- set tolerance = var('clv_load_tolerance') %}
{#- Share of identical lines in a new month, unless it was usual before. #}
{%- set max_duplicates = 0.3 %}
{%- set is_foreign = "profiled.currency != '" ~ var('clv_currency') ~ "'"
    if var('clv_currency') else 'named_currencies.currencies > 1' %}
with profiled as (

    select *
    from {{ ref('int_loads__profiled') }}

),

-- int_logs__chosen decides which accepted loads this run sees; the newest of them is compared with.
last_accepted as (

    {{ last_load() | indent(4) }}

),

delivered_currency as (

    select
        max(currency) as currency,
        min(currency) = max(currency) as is_one
    from profiled

),

accepted_currency as (

    select
        max(currency) as currency,
        min(currency) = max(currency) as is_one
    from last_accepted

),

-- If both loads have a single currency, its name may differ: a currency column may be new. From one name to
-- another is a fault.
accepted as (

    select
        last_accepted.* replace ( -- noqa: AM04
            case
                when delivered_currency.is_one and accepted_currency.is_one
                    then delivered_currency.currency
                else last_accepted.currency
            end as currency
        )
    from last_accepted
    cross join delivered_currency
    cross join accepted_currency

),

renamed as (

    select
        case
            when
                delivered_currency.is_one and accepted_currency.is_one
                and delivered_currency.currency != ''
                and accepted_currency.currency != delivered_currency.currency
                then nullif(accepted_currency.currency, '')
        end as currency_before
    from delivered_currency
    cross join accepted_currency

),

span as (

    select
        max(last_transaction_date) as last_transaction_date,
        max(transaction_month) as last_month
    from profiled

),

accepted_span as (

    select max(as_of_date) as as_of_date
    from accepted

),

-- Months in common that were read and that have customer hashes in both loads. Once a month has ended,
-- neither its first nor its last customer changes.
months_in_common as (

    select
        {{ has_a_customer_in_common('profiled', 'accepted') | indent(8) }}
            as has_customer_in_common,
        profiled.first_customer_hash = accepted.first_customer_hash
        and profiled.last_customer_hash = accepted.last_customer_hash
        or not {{ has_ended('accepted', 'span.last_transaction_date') }}
            as has_both
    from profiled
    inner join accepted
        on
            profiled.transaction_month = accepted.transaction_month
            and profiled.currency = accepted.currency
    cross join span
    {%- if is_daily() %}
    where {{ since('profiled.transaction_month', daily_window().lines_from) }}
    {%- endif %}

),

-- The few months that a daily run reads have at least one customer in common.
customers_in_common as (

    select
        coalesce(
            sum(case when has_customer_in_common then 1 else 0 end)
            {{ '= 0' if is_daily() else '< 0.5 * count(*)' }},
            false
        ) as are_few,
        coalesce(
            sum(case when has_customer_in_common and has_both then 1 else 0 end)
            < 0.5 * count(*),
            false
        ) as are_fewer
    from months_in_common
    where has_customer_in_common is not null

),

united as (

    select
        coalesce(profiled.transaction_month, accepted.transaction_month)
            as transaction_month,
        coalesce(profiled.currency, accepted.currency) as currency,
        profiled.line_count,
        profiled.duplicate_count,
        profiled.refund_count,
        profiled.purchase_days,
        profiled.customers,
        profiled.active_days,
        profiled.lines_without_user,
        profiled.sales_amount,
        profiled.median_sale_amount,
        profiled.repeated_days,
        profiled.last_repeated_date,
        profiled.first_transaction_date,
        profiled.last_transaction_date,
        accepted.line_count as accepted_line_count,
        accepted.duplicate_count as accepted_duplicate_count,
        accepted.purchase_days as accepted_purchase_days,
        accepted.refund_count as accepted_refund_count,
        accepted.sales_amount as accepted_sales_amount,
        profiled.first_customer_hash,
        profiled.last_customer_hash
    from profiled
    full outer join accepted
        on
            profiled.transaction_month = accepted.transaction_month
            and profiled.currency = accepted.currency

),

-- How long the log was silent before each of its months, told with the first of the month's currencies.
month_days as (

    select
        transaction_month,
        min(currency) as currency,
        min(first_transaction_date) as first_day,
        max(last_transaction_date) as last_day
    from profiled
    group by 1

),

gaps as (

    select
        transaction_month,
        currency,
        first_day,
        lag(last_day) over (order by transaction_month) as day_before_gap
    from month_days

),

gap_lengths as (

    select
        *,
        {{ days_between('day_before_gap', 'first_day') }} - 1 as gap_days
    from gaps

),

longest_gaps as (

    select
        *,
        max(gap_days) over (
            order by transaction_month
            rows between unbounded preceding and 1 preceding
        ) as gap_days_before
    from gap_lengths

),

-- Without var clv_currency the single currency of the log is the project's.
named_currencies as (

    select count(distinct nullif(currency, '')) as currencies
    from profiled

),

first_rates as (

    select
        upper(currency) as currency,
        min(valid_from) as valid_from
    from {{ ref('currency_rates') }}
    group by 1

),

-- Currencies without a rate on some days.
unrated as (

    select
        profiled.currency,
        min(profiled.first_transaction_date) as first_day,
        max(
            case
                when
                    first_rates.valid_from is null
                    or profiled.first_transaction_date < first_rates.valid_from
                    then least(
                        profiled.last_transaction_date,
                        coalesce(
                            {{ add_days('first_rates.valid_from', -1) }},
                            profiled.last_transaction_date
                        )
                    )
            end
        ) as last_day,
        sum(profiled.line_count) as line_count
    from profiled
    cross join named_currencies
    left join first_rates
        on profiled.currency = first_rates.currency
    where
        profiled.currency != ''
        and {{ is_foreign }}
        and coalesce(profiled.first_transaction_date < first_rates.valid_from, true)
    {%- if is_daily() %}
        and {{ since('profiled.transaction_month', daily_window().lines_from) }}
    {%- endif %}
    group by 1

),

{%- set before %} over (
            partition by currency
            order by transaction_month
            rows between 6 preceding and 1 preceding
        )
{%- endset %}

-- Sums and means of the six months before.
compared as (

    select
        *,
        {%- for count in [
            'line_count', 'duplicate_count', 'refund_count', 'active_days'
        ] %}
        sum({{ count }}){{ before }} as {{ count }}_before,
        {%- endfor %}
        sum(purchase_days){{ before }} as purchase_days_before,
        sum(sales_amount){{ before }} as sales_amount_before,
        avg(median_sale_amount){{ before }} as median_sale_amount_before,
        min(transaction_month){{ before }} as first_month_before
    from united

),

expected as (

    select
        compared.*,
        longest_gaps.first_day as day_after_gap,
        longest_gaps.day_before_gap,
        longest_gaps.gap_days,
        longest_gaps.gap_days_before,
        span.last_transaction_date as last_day,
        accepted_span.as_of_date as accepted_as_of_date,
        accepted_span.as_of_date is null as is_first_load,
        renamed.currency_before,
        -- Whether the month had ended by the last accepted load, even if it had no lines.
        coalesce(
            {{ add_months('compared.transaction_month', 1) }}
            <= {{ add_days('accepted_span.as_of_date', 1) }}, false
        ) as is_closed,
        compared.transaction_month = span.last_month
        and row_number() over (
            partition by compared.transaction_month
            order by compared.line_count desc, compared.currency asc
        ) = 1 as is_newest,
        {%- if var('clv_as_of_date') is none %}
        accepted_span.as_of_date as expected_day,
        {%- else %}
        cast('{{ var("clv_as_of_date") }}' as date) as expected_day,
        {%- endif %}
        -- Share of days with transactions, from which the longest likely gap follows.
        compared.active_days_before * 1.0 / nullif(
            {{ days_between(
                'compared.first_month_before', 'compared.transaction_month'
            ) }},
            0
        ) as active_share_before,
        -- Likewise from the end of a gap to that of its month.
        compared.active_days * 1.0 / nullif(
            {{ days_between(
                'longest_gaps.first_day', add_months('compared.transaction_month', 1)
            ) }},
            0
        ) as active_share_after,
        compared.sales_amount / nullif(compared.purchase_days, 0) as mean_sale_amount,
        compared.sales_amount_before / nullif(compared.purchase_days_before, 0)
            as mean_sale_amount_before
    from compared
    cross join span
    cross join accepted_span
    cross join renamed
    left join longest_gaps
        on
            compared.transaction_month = longest_gaps.transaction_month
            and compared.currency = longest_gaps.currency

),

judged as (

    select
        *,
        {{ days_between('last_day', 'expected_day') }} as missing_days,
        -- Months too small to be tested alone are tested together, in the row of the newest closed one.
        {%- for column in [
            'line_count', 'accepted_line_count', 'sales_amount',
            'accepted_sales_amount', 'accepted_purchase_days'
        ] %}
        sum(case when is_closed then coalesce({{ column }}, 0) else 0 end) over (
            partition by currency
        ) as closed_{{ column }},
        {%- endfor %}
        is_closed and transaction_month = max(
            case when is_closed then transaction_month end
        ) over (partition by currency) as is_newest_closed,
        -- Longer than the limit, and less likely than 1 in 10,000 when days are empty by chance.
        -- Of a monthly log, from the 15th to the end of the month.
        greatest(
            {{ var('clv_load_max_gap_days') }},
            {{ 16 if is_monthly() else likely_gap('active_share_before') }}
        ) as allowed_missing_days
    from expected

),

{%- set month %}substr(cast(transaction_month as {{ type_text() }}), 1, 7){% endset %}
{%- set accepted_on %}cast(accepted_as_of_date as {{ type_text() }}){% endset %}
{#- Factor between the typical amount of a new month and that of the six before. #}
{%- set scale = 3.0 %}
{#- Days without a line that are told; of a monthly log more than a month. #}
{%- set longest_silence = 45 if is_monthly() else 28 %}
{%- set count_chance = '3 * sqrt(greatest(coalesce({}, 0), 4))' %}
{%- set sales_chance =
    '3 * accepted_sales_amount / sqrt(nullif(accepted_purchase_days, 0))' %}
{#- Of all closed months: late lines are of the newest, and corrections of a few. #}
{%- set closed_chance = {
    'line_count': '6',
    'sales_amount': 'closed_accepted_sales_amount '
        ~ '/ sqrt(nullif(closed_accepted_purchase_days, 0))',
} %}

faulted as (

    select
        *,
        case
            when is_newest and currency_before is not null
                then concat(
                    'transactions.currency is ', currency, ', that of the load ',
                    'accepted as of ', {{ accepted_on }}, ' was ', currency_before
                )
            -- A change beyond the tolerance and beyond three standard errors of the count; a count
            -- of zero may become six.
            {%- for column, name, measure in [
                ('ts', 'lines', 'line_count'),
                ('user_id', 'purchase days', 'purchase_days'),
                ('is_refund', 'refunds', 'refund_count'),
                ('amount', 'sales', 'sales_amount'),
            ] %}
            {%- set chance = sales_chance if measure == 'sales_amount'
                else count_chance.format('accepted_' ~ measure) %}
            when
                is_closed
                and abs(
                    coalesce({{ measure }}, 0) - coalesce(accepted_{{ measure }}, 0)
                )
                > {{ tolerance }} * coalesce(accepted_{{ measure }}, 0)
                + {{ chance }}
                then concat(
                    'transactions.{{ column }} gives ',
                    cast(coalesce({{ measure }}, 0) as {{ type_text() }}),
                    ' {{ name }} for ',
                    {{ month }}, ', the load accepted as of ', {{ accepted_on }},
                    ' gave ',
                    cast(coalesce(accepted_{{ measure }}, 0) as {{ type_text() }})
                )
            {%- endfor %}
            {%- for column, name, measure in [
                ('ts', 'lines', 'line_count'), ('amount', 'sales', 'sales_amount'),
            ] %}
            when
                is_newest_closed
                and abs(closed_{{ measure }} - closed_accepted_{{ measure }})
                > {{ tolerance }} * closed_accepted_{{ measure }}
                + {{ closed_chance[measure] }}
                then concat(
                    'transactions.{{ column }} gives ',
                    cast(
                        cast(closed_{{ measure }} as {{ type_integer() }})
                        as {{ type_text() }}
                    ),
                    ' {{ name }} up to ', {{ month }}, ', the load accepted as of ',
                    {{ accepted_on }}, ' gave ',
                    cast(
                        cast(closed_accepted_{{ measure }} as {{ type_integer() }})
                        as {{ type_text() }}
                    )
                )
            {%- endfor %}
            {%- if var('clv_duplicates') == 'order_lines' %}
            -- Unless the last load that was accepted had these lines, nine at least of a day.
            when
                repeated_days > 0
                and coalesce(
                    last_repeated_date > accepted_as_of_date
                    or duplicate_count >= accepted_duplicate_count + 9, true
                )
                then concat(
                    'transactions has nearly every line of ',
                    cast(last_repeated_date as {{ type_text() }}),
                    ' twice and without order_id, as where two exports overlap',
                    ' (such days in ', {{ month }}, ': ',
                    cast(repeated_days as {{ type_text() }}), '): ',
                    'clv_duplicates says whether they count once (rows) or all (none)'
                )
            {%- endif %}
            when
                is_newest
                and missing_days > coalesce(
                    allowed_missing_days, {{ var('clv_load_max_gap_days') }}
                )
                then concat(
                    'transactions.ts ends on ', cast(last_day as {{ type_text() }}),
                    ', ', cast(missing_days as {{ type_text() }}), ' days before ',
                    cast(expected_day as {{ type_text() }})
                )
        end as load_fault,
        case
            when
                not is_closed and gap_days > greatest(
                    {{ longest_silence }},
                    coalesce(gap_days_before, 0)
                    {%- if not is_monthly() %},
                    {{ likely_gap('coalesce('
                        ~ 'least(active_share_before, active_share_after), '
                        ~ 'active_share_after, 1)') }}
                    {%- endif %}
                )
                then concat(
                    'transactions.ts has no line from ',
                    cast({{ add_days('day_before_gap', 1) }} as {{ type_text() }}),
                    ' to ',
                    cast({{ add_days('day_after_gap', -1) }} as {{ type_text() }}),
                    ', and lines before and after'
                )
            when
                not is_closed and duplicate_count * 1.0 / line_count > greatest(
                    {{ max_duplicates }},
                    2.0 * coalesce(duplicate_count_before / line_count_before, 0)
                )
                and line_count >= 30
                then concat(
                    'transactions has ', cast(duplicate_count as {{ type_text() }}),
                    ' identical lines among the ',
                    cast(line_count as {{ type_text() }}), ' of ', {{ month }}
                )
            {%- for measure in ['median', 'mean'] %}
            when
                not is_closed and purchase_days >= 30 and purchase_days_before >= 30
                and not coalesce(
                    {{ measure }}_sale_amount
                    / nullif({{ measure }}_sale_amount_before, 0)
                    between {{ 1 / scale }} and {{ scale }}, true
                )
                then concat(
                    'transactions.amount has a {{ measure }} of ',
                    cast({{ as_money(measure ~ '_sale_amount') }} as {{ type_text() }}),
                    ' per purchase day in ', {{ month }}, ' and of ',
                    cast(
                        {{ as_money(measure ~ '_sale_amount_before') }}
                        as {{ type_text() }}
                    ), ' in the months before'
                )
            {%- endfor %}
            -- Ten refunds expected and none found: by chance once in 20,000 months.
            when
                not is_closed and refund_count = 0
                and line_count * refund_count_before / line_count_before >= 10
                then concat(
                    'transactions.is_refund marks none of the ',
                    cast(line_count as {{ type_text() }}), ' lines of ', {{ month }},
                    ', and marked ', cast(refund_count_before as {{ type_text() }}),
                    ' of ', cast(line_count_before as {{ type_text() }}),
                    ' in the months before'
                )
        end as range_fault
    from judged

),

-- On the first load a change between months is a notice, not a fault: it may be true history.
told as (

    select
        *,
        case
            when is_first_load then load_fault
            else coalesce(load_fault, range_fault)
        end as month_fault,
        case
            when not is_first_load then null
            when range_fault is not null then range_fault
            when
                is_newest
                and sum(duplicate_count) over (partition by currency)
                > {{ max_duplicates }}
                * sum(line_count) over (partition by currency)
                then concat(
                    'transactions has ',
                    cast(
                        sum(duplicate_count) over (partition by currency)
                        as {{ type_text() }}
                    ), ' identical lines among all ',
                    cast(
                        sum(line_count) over (partition by currency)
                        as {{ type_text() }}
                    )
                )
        end as notice
    from faulted

),

-- A different set of customers is reported before other faults, which follow from it. If fewer customers
-- are in common and no month has a fault, some ids have changed; otherwise lines were lost, and the
-- faults of the months say so.
identified as (

    select
        told.*,
        case
            when
                (
                    customers_in_common.are_few
                    or (
                        customers_in_common.are_fewer
                        and count(told.month_fault) over (partition by 1) = 0
                    )
                )
                and row_number() over (
                    order by told.transaction_month asc, told.currency asc
                ) = 1
                then concat(
                    'transactions.user_id has few customers in common with the load ',
                    'accepted as of ',
                    cast(accepted_span.as_of_date as {{ type_text() }}),
                    {% if is_daily() -%}
                    ', which a daily run adds to: run a full build for another log'
                    {%- else -%}
                    ': ids in another form, or another shop'
                    {%- endif %}
                )
            else told.month_fault
        end as fault,
        case
            when unrated.currency is not null
                then concat(
                    'transactions.currency ', unrated.currency, ' has no rate for ',
                    cast(unrated.first_day as {{ type_text() }}), ' to ',
                    cast(unrated.last_day as {{ type_text() }}), ' (',
                    cast(unrated.line_count as {{ type_text() }}),
                    ' lines): add it to seeds/reference/currency_rates.csv and run ',
                    'dbt seed'
                )
        end as currency_fault
    from told
    cross join customers_in_common
    cross join accepted_span
    left join unrated
        on told.currency = unrated.currency

)

select
    transaction_month,
    currency,
    line_count,
    duplicate_count,
    refund_count,
    purchase_days,
    customers,
    active_days,
    lines_without_user,
    sales_amount,
    median_sale_amount,
    accepted_line_count,
    accepted_purchase_days,
    accepted_refund_count,
    accepted_sales_amount,
    accepted_as_of_date,
    is_closed,
    fault,
    notice,
    currency_fault,
    first_transaction_date,
    last_transaction_date,
    first_customer_hash,
    last_customer_hash
from identified
