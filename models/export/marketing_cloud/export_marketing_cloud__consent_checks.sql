-- grain: one row per target and thing to say of consents and statuses now, or reason to sync nothing
{%- set known = shaped('clv_consent_channels') + shaped('clv_other_channels') %}
{%- set suppressed = shaped('clv_suppressed_statuses') %}
{%- set ominous = [
    'dead', 'deceas', 'died', 'death', 'gestorben', 'verstorben', 'eras', 'delet',
    'gdpr', 'dsgvo', 'forg[eo]t', 'fraud', 'betrug', 'block', 'gesperrt', 'opt.?out',
    'unsub', 'suppress', 'do.?not', 'anonymi', 'remov', 'gel(oe|ö)sch',
    'verwijder', 'overled', 'supprim', 'effac', 'd[eé]c[eé]d', 'elimin', 'borrad',
    'fallecid', 'difunt', 'usuni', 'raderad', 'slettet',
] | join('|') %}
with targets as (

    {% for target in export_targets() -%}
    select '{{ target }}' as target
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

-- Channels that are unknown, and statuses that suppress nobody. A row that speaks of profiling alone needs no
-- channel.
unlisted as (

    select
        'channel' as kind,
        channel as name,
        count(*) as line_count
    from {{ ref('stg_consents') }}
    where
        channel not in (
            {%- for channel in known %}
            '{{ channel | lower }}',
            {%- endfor %}
            ''
        )
        or (channel is null and objects_to_profiling is null)
    group by 1, 2

    union all

    select
        'status' as kind,
        status as name,
        count(*) as line_count
    from {{ ref('stg_customer_status') }}
    where
        status not in (
            {%- for status in suppressed %}
            '{{ status }}',
            {%- endfor %}
            'active'
        )
        or status is null
    group by 1, 2

),

-- What stands in one or two rows can be a person's name. Ominous: a status whose name says that it should
-- suppress.
named as (

    select
        kind,
        case
            when name is null then '(empty)'
            when line_count < 3 then '(not shown)'
            when regexp_replace(name, '^[a-z_-]+$', '') != '' then '(not shown)'
            else substr(name, 1, 20)
        end as shown,
        case
            when name is null then 1
            when regexp_replace(name, '{{ ominous }}', '') != name then 1
            else 0
        end as is_ominous
    from unlisted

),

unknown_channels as (

    select
        min(shown) as first_shown,
        max(shown) as last_shown,
        count(*) as channel_count
    from named
    where kind = 'channel'

),

useless_statuses as (

    select
        min(shown) as first_status,
        max(shown) as last_status,
        count(*) as status_count,
        coalesce(sum(is_ominous), 0) as ominous_statuses
    from named
    where kind = 'status'

),

stated as (

    select
        user_id,
        1 as consents,
        case
            when objects_to_profiling then 1
            when coalesce(is_granted, false) then 0
            when is_granted is null and objects_to_profiling is not null then 0
            else 1
        end as refusals,
        0 as suppressions
    from {{ ref('stg_consents') }}

    union all

    select
        user_id,
        0 as consents,
        0 as refusals,
        case
            when status in (
                {%- for status in suppressed %}
                '{{ status }}',
                {%- endfor %}
                ''
            ) then 1
            else 0
        end as suppressions
    from {{ ref('stg_customer_status') }}

),

users as (

    select
        coalesce(user_id, '') as user_id,
        max(consents) as consents,
        max(refusals) as refusals,
        max(suppressions) as suppressions
    from stated
    group by 1

),

links as (

    select count(distinct user_id) as linked_users
    from {{ ref('stg_identities') }}
    where other_id is not null

),

known_ids as (

    select identifier as user_id
    from {{ ref('int_identities__resolved') }}

    union distinct

    select customer_id as user_id
    from {{ ref('customers') }}

    union distinct

    select user_id
    from {{ ref('stg_customers') }}

),

folded as (

    select distinct {{ folded_id('user_id') | indent(4) }} as folded_id
    from known_ids

),

counts as (

    select
        count(*) as users,
        coalesce(sum(users.consents), 0) as consent_users,
        coalesce(sum(users.refusals), 0) as refusing_users,
        coalesce(sum(users.suppressions), 0) as suppressed_users,
        coalesce(sum(case when known_ids.user_id is null then 1 else 0 end), 0)
            as unknown_users,
        -- The id of somebody who is known, but for how it is written.
        coalesce(
            sum(
                case
                    when known_ids.user_id is not null then 0
                    when folded.folded_id is not null then 1
                    else 0
                end
            ), 0
        ) as miswritten_users
    from users
    left join known_ids
        on users.user_id = known_ids.user_id
    left join folded
        on {{ folded_id('users.user_id') | indent(8) }} = folded.folded_id

),

logs as (

    select distinct {{ log_family('log_id') }} as family
    from {{ ref('export_marketing_cloud__candidates') }}

),

-- Runs that sent rows, whether or not they ended.
senders as (

    select distinct
        ledger.target,
        ledger.run_id
    from {{ source('clv_state', 'export_ledger') }} as ledger
    inner join logs
        on {{ log_family('ledger.log_id') }} = logs.family
    where ledger.is_transient

),

runs as (

    select
        target,
        run_id,
        max(coalesce(run_number, 0)) as run_number,
        min(recorded_at) as started_at,
        max(consent_users) as consent_users,
        max(refusing_users) as refusing_users,
        max(suppressed_users) as suppressed_users,
        max(linked_users) as linked_users
    from {{ source('clv_state', 'export_runs') }}
    where consent_users is not null
    group by 1, 2

),

{#- Share of the user ids that may be missing. #}
{%- set tolerated = 0.03 %}
{%- set lost = {
    'consents_are_lost': ('consent_users', 'consents_before', 'consents'),
    'refusals_are_lost': ('refusing_users', 'refusals_before', 'consents'),
    'statuses_are_lost': ('suppressed_users', 'suppressions_before', 'customer_status'),
    'links_are_lost': ('linked_users', 'links_before', 'identities'),
} %}

kinds as (

    {% for _, before, _ in lost.values() -%}
    select '{{ before }}' as what
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

sent as (

    select
        runs.target,
        runs.run_number,
        runs.run_id,
        runs.started_at,
        kinds.what,
        case kinds.what
            {%- for counted, before, _ in lost.values() %}
            when '{{ before }}' then runs.{{ counted }}
            {%- endfor %}
        end as counted
    from runs
    inner join senders
        on
            runs.target = senders.target
            and runs.run_id = senders.run_id
    cross join kinds

),

-- A larger loss stops the export, so a run that sent rows after one had been told to accept it.
stepped as (

    select
        *,
        counted < (1 - {{ tolerated }}) * lag(counted) over (
            partition by target, what
            order by run_number, run_id
        ) as is_accepted
    from sent

),

accepted as (

    select
        *,
        max(case when is_accepted then run_number else 0 end) over (
            partition by target, what
        ) as accepted_number
    from stepped

),

-- The most that there were since a loss was accepted: many small losses are a large one.
most as (

    select *
    from accepted
    where run_number >= accepted_number
    qualify row_number() over (
        partition by target, what
        order by counted desc, run_number desc, run_id desc
    ) = 1

),

-- Who was erased since is not lost.
erased as (

    select
        most.target,
        most.what,
        count(*) as erasures
    from most
    inner join {{ source('clv_state', 'erasures') }} as erasures
        on most.started_at <= erasures.recorded_at
    group by 1, 2

),

remaining as (

    select
        most.target,
        most.what,
        most.counted,
        coalesce(erased.erasures, 0) as erasures
    from most
    left join erased
        on
            most.target = erased.target
            and most.what = erased.what

),

earlier as (

    select
        {%- for _, before, _ in lost.values() %}
        max(case when what = '{{ before }}' then counted end) as {{ before }},
        max(case when what = '{{ before }}' then counted - erasures end)
            as {{ before }}_left,
        {%- endfor %}
        target
    from remaining
    group by {{ 2 * lost | length + 1 }}

),

grants as (

    select max(updated_at) as newest_at
    from {{ ref('stg_consents') }}
    where is_granted

),

facts as (

    select
        targets.target,
        counts.users,
        counts.consent_users,
        counts.refusing_users,
        counts.suppressed_users,
        counts.unknown_users,
        counts.miswritten_users,
        links.linked_users,
        unknown_channels.first_shown,
        unknown_channels.last_shown,
        unknown_channels.channel_count,
        {%- for _, before, _ in lost.values() %}
        coalesce(earlier.{{ before }}, 0) as {{ before }},
        earlier.{{ before }}_left,
        {%- endfor %}
        useless_statuses.first_status,
        useless_statuses.last_status,
        useless_statuses.status_count,
        useless_statuses.ominous_statuses,
        grants.newest_at
    from targets
    cross join counts
    cross join links
    cross join unknown_channels
    cross join useless_statuses
    cross join grants
    left join earlier
        on targets.target = earlier.target

),

checks as (

    {% for check in [
        'counted', 'consent_is_not_chosen', 'channel_is_unknown',
        'statements_are_about_nobody', 'statuses_suppress_nobody',
        'grants_are_of_the_future'
    ] + lost | list -%}
    select '{{ check }}' as check_name
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

-- A check that has nothing to say has no sentence.
judged as (

    select
        facts.*,
        checks.check_name,
        case checks.check_name
            when 'counted' then false
            when 'statements_are_about_nobody'
                then
                    facts.unknown_users > 0.01 * facts.users
                    or facts.miswritten_users > 0
            when 'statuses_suppress_nobody' then facts.ominous_statuses > 0
            when 'grants_are_of_the_future' then false
            else true
        end as is_stopping,
        case
            when checks.check_name = 'counted'
                then concat(
                    cast(facts.consent_users as {{ type_text() }}),
                    ' user ids have stated whether they consent, ',
                    cast(facts.refusing_users as {{ type_text() }}),
                    ' of them ever refused; ',
                    cast(facts.suppressed_users as {{ type_text() }}),
                    ' have a suppressing status'
                )
            {%- if var('clv_consent') is none %}
            when
                checks.check_name = 'consent_is_not_chosen'
                and facts.consent_users = 0
                and facts.consents_before = 0
                then concat(
                    'there is no input consents: set var clv_consent to required ',
                    '(nobody is synced) or managed_at_destination (everybody not ',
                    'suppressed is)'
                )
            {%- endif %}
            when checks.check_name = 'channel_is_unknown' and facts.channel_count > 0
                then concat(
                    'input consents has ',
                    cast(facts.channel_count as {{ type_text() }}),
                    ' channel(s) that neither clv_consent_channels nor ',
                    'clv_other_channels has: ', facts.first_shown,
                    case
                        when facts.last_shown != facts.first_shown
                            then concat(', ', facts.last_shown)
                        else ''
                    end,
                    case when facts.channel_count > 2 then ', ...' else '' end
                )
            when
                checks.check_name = 'statements_are_about_nobody'
                and facts.unknown_users > 0
                then concat(
                    cast(facts.unknown_users as {{ type_text() }}), ' of ',
                    cast(facts.users as {{ type_text() }}),
                    ' user ids in consents and customer_status are of nobody who is ',
                    'known',
                    case
                        when facts.miswritten_users > 0
                            then concat(
                                '; but for case, zeros in front or a .0, ',
                                cast(facts.miswritten_users as {{ type_text() }}),
                                ' of them are of somebody who is'
                            )
                        else ''
                    end
                )
            when
                checks.check_name = 'statuses_suppress_nobody'
                and facts.status_count > 0
                then concat(
                    'input customer_status has ',
                    cast(facts.status_count as {{ type_text() }}),
                    ' status(es) that suppress nobody (clv_suppressed_statuses): ',
                    facts.first_status,
                    case
                        when facts.last_status != facts.first_status
                            then concat(', ', facts.last_status)
                        else ''
                    end,
                    case when facts.status_count > 2 then ', ...' else '' end
                )
            when
                checks.check_name = 'grants_are_of_the_future'
                and facts.newest_at is not null
                then concat(
                    'the newest grant in input consents is dated ',
                    cast(cast(facts.newest_at as date) as {{ type_text() }}),
                    ' (UTC); one of later than a day from now would undo refusals ',
                    'that are yet to come'
                )
            {%- for check, (counted, before, input) in lost.items() %}
            when
                checks.check_name = '{{ check }}'
                and facts.{{ counted }}
                < facts.{{ before }}_left - {{ tolerated }} * facts.{{ before }}
                then concat(
                    'input {{ input }} has ',
                    cast(facts.{{ counted }} as {{ type_text() }}), ' of the ',
                    cast(facts.{{ before }} as {{ type_text() }}), ' user ids ',
                    {{ "'that refuse '" if counted == 'refusing_users' else "''" }},
                    'that it had when the target was written'
                )
            {%- endfor %}
        end as sentence
    from facts
    cross join checks

)

select
    target,
    check_name,
    is_stopping,
    case
        when check_name = 'grants_are_of_the_future' then newest_at - interval 1 day
    end as stops_until,
    sentence,
    cast(consent_users as {{ type_integer() }}) as consent_users,
    cast(refusing_users as {{ type_integer() }}) as refusing_users,
    cast(suppressed_users as {{ type_integer() }}) as suppressed_users,
    cast(linked_users as {{ type_integer() }}) as linked_users
from judged
where sentence is not null
