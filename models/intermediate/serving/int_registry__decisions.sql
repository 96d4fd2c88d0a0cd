-- grain: one row per change of a model version's status that this run decides, in order
-- The first case that applies decides which versions serve after the run; any other champion or canary
-- is retired. Post-hooks write the changes to the registry; a second run on the same data adds none.
-- depends_on: {{ ref('int_backtest__spec') }}
{{ config(
    post_hook=[
        "{{ register_candidate() }}" if not is_daily() else "select 1",
        "{{ register_decisions() }}",
    ]
) }}
{#- In order: the case, its condition, and the champion and the canary after it. #}
{%- set cases = [
    ('pinned', 'pinned is not null', 'pinned', 'null'),
    ('first', 'champion is null', 'candidate', 'null'),
    ('rolled_back', 'champion_failure is not null and is_on_probation and previous is not null',
        'previous', 'null'),
    ('at_once', 'candidate_passes and is_at_once', 'candidate', 'null'),
    ('both', 'candidate_passes and canary_passes', 'canary', 'candidate'),
    ('candidate', 'candidate_passes', 'champion', 'candidate'),
    ('canary', 'canary_passes', 'canary', 'null'),
    ('no_canary', 'canary_is_due', 'champion', 'null'),
    ('nothing', 'true', 'champion', 'canary'),
] %}
{%- set always = var('clv_promotion') == 'always' %}
with statuses as (

    select *
    from {{ ref('int_registry__statuses') }}

),

as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

checks as (

    select
        model_version,
        string_agg(
            case
                when not is_passed
                    then
                        concat(
                            check_name, ' ',
                            coalesce(
                                {{ brief_number('value') | indent(32) }},
                                'cannot be measured'
                            )
                        )
            end, ', ' order by check_name
        ) as failure,
        -- Passes the checks that do not compare it with the champion.
        min(
            case
                when is_passed then 1
                when check_name in ('scored_share', 'invalid_scores') then 0
                else 1
            end
        ) = 1 as is_sound
    from {{ ref('int_gate__scored') }}
    group by 1

),

{%- if not is_daily() %}

backtests as (

    select
        string_agg(
            concat(
                check_name, ' ',
                case
                    when value is null then 'cannot be measured'
                    else
                        concat(
                            {{ brief_number('value') | indent(28) }}, ' above ',
                            {{ brief_number('highest') | indent(28) }}
                        )
                end
            ), ', ' order by check_name
        ) as failure
    from {{ ref('int_gate__backtested') }}
    where not is_passed

),

fitted as (

    select
        max(versions.model_version) as candidate,
        max(statuses.model_version) is null as is_new,
        max(checks.failure) as scored_failure,
        max(backtests.failure) as backtested_failure
    from {{ ref('int_candidate') }} as versions
    cross join backtests
    left join statuses
        on versions.model_version = statuses.model_version
    left join checks
        on versions.model_version = checks.model_version

),
{%- else %}

-- A daily run fits nothing.
fitted as (

    select
        cast(null as {{ type_text() }}) as candidate,
        false as is_new,
        cast(null as {{ type_text() }}) as scored_failure,
        cast(null as {{ type_text() }}) as backtested_failure

),
{%- endif %}

standing as (

    select
        count(*) as versions,
        max(case when statuses.role = 'champion' then statuses.model_version end)
            as champion,
        max(case when statuses.role = 'champion' then checks.failure end)
            as champion_failure,
        max(case when statuses.is_on_probation then 1 else 0 end) = 1
            as is_on_probation,
        max(
            case
                when statuses.role = 'previous' and checks.is_sound
                    then statuses.model_version
            end
        ) as previous,
        max(case when statuses.role = 'canary' then statuses.model_version end)
            as canary,
        max(case when statuses.role = 'canary' then checks.failure end)
            as canary_failure,
        -- A canary serves for one refresh.
        max(
            case
                when
                    statuses.role = 'canary'
                    {%- if var('clv_canary_share') > 0 %}
                    and statuses.decided_on < as_of.as_of_date
                    {%- endif %}
                    then 1
                else 0
            end
        ) = 1 as canary_is_due,
        max(
            case
                when statuses.is_pinned and statuses.is_scored
                    then statuses.model_version
            end
        ) as pinned
    from statuses
    cross join as_of
    left join checks
        on statuses.model_version = checks.model_version

),

situation as (

    select
        standing.*,
        fitted.candidate,
        fitted.is_new,
        case
            when fitted.scored_failure is null then fitted.backtested_failure
            when fitted.backtested_failure is null then fitted.scored_failure
            else
                concat(fitted.backtested_failure, ', ', fitted.scored_failure)
        end as candidate_failure,
        fitted.candidate is not null
        and fitted.is_new
        {%- if not always %}
        and fitted.scored_failure is null
        and fitted.backtested_failure is null
        {%- endif %} as candidate_passes,
        standing.canary_is_due
        and standing.canary_failure is null as canary_passes,
        {{ (always or var('clv_canary_share') == 0) | lower }} as is_at_once
    from standing
    cross join fitted

),

ruled as (

    select
        *,
        case
            {%- for name, condition, _, _ in cases %}
            when {{ condition }} then '{{ name }}'
            {%- endfor %}
        end as ruling
    from situation

),

after as (

    select
        *,
        case ruling
            {%- for name, _, champion, _ in cases %}
            when '{{ name }}' then {{ champion }}
            {%- endfor %}
        end as next_champion,
        case ruling
            {%- for name, _, _, canary in cases if canary != 'null' %}
            when '{{ name }}' then {{ canary }}
            {%- endfor %}
        end as next_canary
    from ruled

),

versions as (

    select
        model_version,
        status
    from statuses

    union all

    select
        candidate as model_version,
        cast(null as {{ type_text() }}) as status
    from fitted
    where is_new and candidate is not null

),

-- Without a next champion no status changes.
moved as (

    select
        versions.model_version,
        versions.status as status_before,
        after.*,
        case
            when versions.model_version = after.next_champion then 'champion'
            when versions.model_version = after.next_canary then 'canary'
            when versions.status in ('champion', 'canary')
                then
                    case
                        when
                            after.ruling = 'rolled_back'
                            and versions.model_version = after.champion
                            then 'withdrawn'
                        else 'retired'
                    end
            -- While another version is pinned, or after a rollback, a new one is not rejected yet.
            when
                versions.status is null
                and after.ruling not in ('pinned', 'rolled_back')
                then 'rejected'
            else versions.status
        end as status_after
    from versions
    inner join after
        on after.next_champion is not null

)

select
    moved.model_version,
    case moved.status_after
        when 'champion' then 1
        when 'canary' then 2
        else 3
    end as step,
    moved.status_after as status,
    case
        when moved.status_after = 'rejected'
            then concat('failed: ', moved.candidate_failure)
        when moved.status_after = 'withdrawn'
            then concat('rolled back: ', moved.champion_failure)
        when
            moved.model_version = moved.canary
            and moved.canary_is_due
            and moved.canary_failure is not null
            and moved.status_after = 'retired'
            then concat('failed as canary: ', moved.canary_failure)
        when
            moved.model_version = moved.canary
            and moved.ruling = 'candidate'
            and moved.status_after = 'retired'
            then concat('replaced by ', moved.next_canary)
        when moved.status_after = 'retired'
            then concat('replaced by ', moved.next_champion)
        when moved.ruling = 'pinned' then 'pinned'
        when moved.ruling = 'first' and moved.versions = 0 then 'the first model'
        when moved.ruling = 'first'
            then 'it defines value differently and cannot be compared'
        when moved.ruling = 'rolled_back'
            then concat('serves again after ', moved.champion)
        when moved.model_version = moved.canary then 'passed as canary'
        when moved.model_version = moved.candidate
            then '{{ "clv_promotion is always" if always else "passed every check" }}'
        else 'served last with this definition of value'
    end as reason,
    as_of.as_of_date as decided_on
from moved
cross join as_of
where moved.status_after != coalesce(moved.status_before, '')
