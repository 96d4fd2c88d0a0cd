-- grain: one row per change of a model version's status that this run decides, in order
-- Written to the registry by the post-hooks; the same data decide nothing twice.
-- depends_on: {{ ref('int_backtest__binned') }}
{{ config(
    post_hook=[
        "{{ register_candidate() }}" if not is_daily() else "select 1",
        "{{ register_decisions() }}",
    ]
) }}
with statuses as (

    select *
    from {{ ref('int_registry__statuses') }}

),

champion as (

    select *
    from statuses
    where status = 'champion'

),

-- The version that served before the champion.
previous as (

    select model_version
    from statuses
    where status = 'retired' and last_served_number is not null
    qualify row_number() over (order by last_served_number desc) = 1

),

as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

failed as (

    select
        model_version,
        string_agg(
            concat(
                check_name, ' ', cast(round(value, 4) as {{ type_text() }})
            ), ', ' order by check_name
        ) as checks
    from {{ ref('int_gate__scored') }}
    where not is_passed
    group by 1

),

canary as (

    select
        statuses.model_version,
        failed.checks as failed_checks
    from statuses
    inner join as_of
        on statuses.decided_on < as_of.as_of_date
    left join failed
        on statuses.model_version = failed.model_version
    where statuses.status = 'canary'

),

-- A canary has served one refresh: it becomes the champion, or it goes.
ended_canaries as (

    select
        model_version,
        1 as step,
        case when failed_checks is null then 'champion' else 'retired' end as status,
        coalesce(
            concat('failed as canary: ', failed_checks), 'passed as canary'
        ) as reason
    from canary

    union all

    select
        champion.model_version,
        2 as step,
        'retired' as status,
        concat('replaced by ', canary.model_version) as reason
    from champion
    cross join canary
    where canary.failed_checks is null

),

-- A champion that is new and spoils its scores makes room for the one before.
rolled_back as (

    select
        champion.model_version,
        3 as step,
        'retired' as status,
        concat('rolled back: ', failed.checks) as reason
    from champion
    inner join failed
        on champion.model_version = failed.model_version
    inner join as_of
        on
            as_of.as_of_date
            <= {{ add_days('champion.decided_on', var('clv_probation_days')) }}
    cross join previous

),

{%- if not is_daily() %}

candidate as (

    select distinct
        candidate.model_version,
        candidate.definition
    from {{ ref('int_candidate') }} as candidate
    left join statuses
        on candidate.model_version = statuses.model_version
    where statuses.model_version is null

),

champion_or_none as (

    select
        max(model_version) as model_version,
        max(definition) as definition
    from champion

),

failed_backtests as (

    select
        string_agg(
            concat(
                check_name, ' ',
                coalesce(
                    concat(
                        cast(round(value, 4) as {{ type_text() }}), ' above ',
                        cast(round(highest, 4) as {{ type_text() }})
                    ),
                    'cannot be measured'
                )
            ), ', ' order by check_name
        ) as checks
    from {{ ref('int_gate__backtested') }}
    where not is_passed

),

judged as (

    select
        candidate.model_version,
        case
            when champion.model_version is null then 'champion'
            when champion.definition != candidate.definition then 'champion'
            {%- if var('clv_promotion') == 'always' %}
            else 'champion'
            {%- else %}
            when failed.checks is not null or failed_backtests.checks is not null
                then 'rejected'
            else '{{ "canary" if var("clv_canary_share") > 0 else "champion" }}'
            {%- endif %}
        end as status,
        case
            when champion.model_version is null then 'the first model'
            when champion.definition != candidate.definition
                then 'it defines value differently and cannot be compared'
            {%- if var('clv_promotion') == 'always' %}
            else 'clv_promotion is always'
            {%- else %}
            when failed.checks is not null or failed_backtests.checks is not null
                then concat(
                    'failed: ', coalesce(failed_backtests.checks, ''),
                    case
                        when failed.checks is null or failed_backtests.checks is null
                            then ''
                        else ', '
                    end,
                    coalesce(failed.checks, '')
                )
            else 'passed every check'
            {%- endif %}
        end as reason
    from candidate
    cross join failed_backtests
    cross join champion_or_none as champion
    left join failed
        on candidate.model_version = failed.model_version

),
{%- endif %}

decided as (

    select *
    from ended_canaries

    union all

    select *
    from rolled_back

    union all

    select
        previous.model_version,
        4 as step,
        'champion' as status,
        concat('serves again after ', rolled_back.model_version) as reason
    from previous
    cross join rolled_back
    {%- if not is_daily() %}

    union all

    select
        model_version,
        5 as step,
        status,
        reason
    from judged

    union all

    select
        statuses.model_version,
        6 as step,
        'retired' as status,
        concat('replaced by ', judged.model_version) as reason
    from judged
    inner join statuses
        on
            (statuses.status = 'champion' and judged.status = 'champion')
            or (statuses.status = 'canary' and judged.status in ('champion', 'canary'))
    left join ended_canaries
        on statuses.model_version = ended_canaries.model_version
    where ended_canaries.model_version is null
    {%- endif %}

)

select
    decided.model_version,
    decided.step,
    decided.status,
    decided.reason,
    as_of.as_of_date as decided_on
from decided
cross join as_of
