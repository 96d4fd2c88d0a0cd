-- grain: one row per log that this run may see the state of, before its load is accepted
-- Loads that share customers belong to one log and share its state. A run as of a day before the log's
-- latest sees only the state before that day and writes to a branch of its own; once such a load is
-- accepted, the log continues from that branch.
{%- set far = "date '9999-12-31'" %}
{%- set tolerance = var('clv_load_tolerance') %}
with accepted as (

    select
        *,
        {{ log_family('log_id') }} as family,
        -- The state of a rebuilt past is used by that run only.
        log_id like '%@%' as is_rebuild
    from {{ source('clv_state', 'accepted_loads') }}

),

families as (

    select
        family,
        max(recorded_at) as recorded_at
    from accepted
    group by 1

),

members as (

    select
        log_id,
        family,
        max(as_of_date) as as_of_date,
        max(continues_until) as continues_until,
        min(recorded_at) as first_recorded_at
    from accepted
    where not is_rebuild
    group by 1, 2

),

-- Each log of a family continues the one before, up to a day; the last one is current.
logs as (

    select
        *,
        min(continues_until) over (
            partition by family
            order by first_recorded_at
            rows between 1 following and unbounded following
        ) as continued_until,
        count(*) over (partition by family) as members,
        row_number() over (
            partition by family
            order by first_recorded_at desc
        ) = 1 as is_last
    from members

),

{%- if not is_daily() %}

profiled as (

    select *
    from {{ ref('int_loads__profiled') }}

),
{%- endif %}

as_of as (

    {% if var('clv_as_of_date') is none -%}
    select
        {{
            month_end('max(last_transaction_date)') if is_monthly()
            else 'max(last_transaction_date)'
        }} as as_of_date
    from profiled
    {%- else -%}
    select cast('{{ var("clv_as_of_date") }}' as date) as as_of_date
    {%- endif %}

),

{%- if not is_daily() %}

-- A new log is named after its first month.
first_month as (

    select
        substr(
            {{ dbt.hash(
                "concat(cast(transaction_month as " ~ type_text() ~ "), '|', currency, '|', "
                ~ "cast(line_count as " ~ type_text() ~ "), '|', coalesce(first_customer_hash, ''), "
                ~ "'|', coalesce(last_customer_hash, ''), '|', cast((select count(*) from families) as "
                ~ type_text() ~ "))"
            ) }},
            1, 8
        ) as log_id
    from profiled
    qualify row_number() over (order by transaction_month, currency) = 1

),

newest as (

    select accepted.*
    from accepted
    inner join logs
        on accepted.log_id = logs.log_id
    where logs.is_last
    qualify rank() over (
        partition by accepted.family
        order by accepted.as_of_date desc, accepted.recorded_at desc
    ) = 1

),

-- If both loads have a single currency, months are compared whatever its name: a currency column may
-- have been added.
currencies as (

    select
        newest.family,
        min(newest.currency) = max(newest.currency)
        and min(profiled.currency) = max(profiled.currency) as are_one
    from newest
    cross join profiled
    group by 1

),

months as (

    select
        newest.family,
        {{ has_a_customer_in_common('profiled', 'newest') | indent(8) }}
            as has_customer_in_common,
        {{ has_ended('newest', 'as_of.as_of_date') | indent(8) }}
            as has_ended,
        abs(profiled.line_count - newest.line_count)
        > newest.line_count
        * ({{ tolerance }} + 3 / sqrt(nullif(newest.line_count, 0)))
            as has_changed
    from newest
    inner join currencies
        on newest.family = currencies.family
    inner join profiled
        on
            newest.transaction_month = profiled.transaction_month
            and (newest.currency = profiled.currency or currencies.are_one)
    cross join as_of

),

summed as (

    select
        family,
        sum(case when has_customer_in_common is null then 0 else 1 end)
            as known_months,
        sum(case when has_customer_in_common then 1 else 0 end) as common_months,
        sum(case when has_ended then 1 else 0 end) as ended_months,
        sum(case when has_ended and has_changed then 1 else 0 end) as changed_months
    from months
    group by 1

),

-- Loads recorded without customer hashes are compared by the counts of their months. A log that lost
-- most of its customers still has one in common in some month: it is doubtful, not another log.
judged as (

    select
        family,
        case
            when 2 * common_months >= known_months then 'same'
            when common_months = 0 and 2 * changed_months > ended_months then 'other'
            else 'doubtful'
        end as verdict
    from summed

),

-- A doubtful load is compared with that log and refused there (int_loads__checked); if var
-- clv_accept_load accepts it anyway, it starts another log.
chosen as (

    select families.family
    from judged
    inner join families
        on judged.family = families.family
    where
        judged.verdict = 'same'
        {%- if not var('clv_accept_load') %}
        or judged.verdict = 'doubtful'
        {%- endif %}
    qualify row_number() over (
        order by
            case when judged.verdict = 'same' then 0 else 1 end asc,
            families.recorded_at desc
    ) = 1

),
{%- else %}

-- A daily run continues the log of the last full run.
chosen as (

    select family
    from families
    qualify row_number() over (order by recorded_at desc) = 1

),
{%- endif %}

chain as (

    select
        logs.*,
        as_of.as_of_date as this_as_of_date,
        max(
            case
                when logs.is_last and as_of.as_of_date < logs.as_of_date then 1
                else 0
            end
        ) over (partition by logs.family) = 1 as is_moved_back,
        {{ add_days('as_of.as_of_date', -1) }} as day_before
    from logs
    inner join chosen
        on logs.family = chosen.family
    cross join as_of

),

seen as (

    select
        case
            when not is_moved_back then log_id
            {%- if var('clv_accept_load') %}
            else concat(family, '.', cast(members + 1 as {{ type_text() }}))
            {%- else %}
            else concat(log_id, '@', cast(this_as_of_date as {{ type_text() }}))
            {%- endif %}
        end as log_id,
        true as is_current,
        this_as_of_date as seen_until,
        {{ far }} as compared_until,
        {% if var('clv_accept_load') -%}
        case when is_moved_back then day_before end as continues_until
        {%- else -%}
        cast(null as date) as continues_until
        {%- endif %}
    from chain
    where is_last

    union all

    select
        log_id,
        false as is_current,
        case
            when is_moved_back
                then least(day_before, coalesce(continued_until, day_before))
            else continued_until
        end as seen_until,
        {% if var('clv_as_of_date') is none -%}
        coalesce(continued_until, {{ far }}) as compared_until,
        {%- else -%}
        case
            when is_moved_back
                then least(day_before, coalesce(continued_until, day_before))
            else continued_until
        end as compared_until,
        {%- endif %}
        cast(null as date) as continues_until
    from chain
    where is_moved_back or not is_last
    {%- if not is_daily() %}

    union all

    select
        first_month.log_id,
        true as is_current,
        as_of.as_of_date as seen_until,
        {{ far }} as compared_until,
        cast(null as date) as continues_until
    from first_month
    cross join as_of
    where not exists (select chosen.family from chosen)
    {%- endif %}

)

select
    log_id,
    is_current,
    seen_until,
    compared_until,
    continues_until
from seen
