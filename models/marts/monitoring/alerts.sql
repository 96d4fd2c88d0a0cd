-- grain: one row per breached rule of alert_rules
with rules as (

    select *
    from {{ ref('alert_rules') }}

),

judged as (

    select
        rules.rule,
        rules.measure,
        rules.is_breached_below,
        rules.warn_limit,
        rules.fail_limit,
        rules.fail_severity,
        rules.cause,
        rules.explained_by,
        rules.is_muted_in_refit,
        rules.owner,
        rules.runbook,
        measures.subject,
        measures.measured,
        case when rules.is_breached_below then -1 else 1 end as direction,
        -- NaN counts as a breach; unlike a number it does not give 0 when subtracted from itself.
        measures.measured - measures.measured != 0 as is_no_number,
        measures.as_of_date
    from {{ ref('alert_measures') }} as measures
    inner join rules
        on measures.measure = rules.measure

),

breached as (

    select
        *,
        coalesce(
            is_no_number or direction * measured > direction * fail_limit, false
        ) as is_failed
    from judged
    where is_no_number or direction * measured > direction * warn_limit

),

-- A rule reports its worst subject.
worst as (

    select
        *,
        count(*) over (partition by rule) as subjects,
        row_number() over (
            partition by rule
            order by direction * measured desc, subject
        ) as position
    from breached

),

-- A cause explains only measures as of the same date, not those of the last full run.
causes as (

    select distinct
        cause,
        as_of_date
    from breached
    where is_failed

)

select
    worst.rule,
    worst.cause,
    case when worst.is_failed then worst.fail_severity else 'ticket' end as severity,
    worst.measure,
    worst.subject,
    worst.subjects,
    worst.measured,
    case when worst.is_failed then worst.fail_limit else worst.warn_limit end
        as breached_limit,
    case
        when causes.cause is not null then concat('explained by ', causes.cause)
        {%- if var('clv_planned_refit') %}
        when worst.is_muted_in_refit then 'planned refit'
        {%- endif %}
    end as muted_because,
    worst.owner,
    concat('models/runbooks.md#', replace(worst.runbook, '_', '-')) as runbook,
    worst.as_of_date
from worst
left join causes
    on
        worst.explained_by = causes.cause
        and worst.as_of_date = causes.as_of_date
where worst.position = 1
