{#
    Operations that change the serving version by hand, in the registry of the log that was built last. An
    operation that cannot be done is refused with a sentence and changes nothing. Served scores change
    at once; the marts follow with a daily run: scripts/change_version.sh does both.

    Makes a version with scores as of the last run the champion; the former one is retired:
        dbt run-operation promote_model --args '{version: "2024-12-31-1a2b3c4d", reason: "…"}'
#}
{% macro promote_model(version, reason) %}
    {%- set versions = known_versions() -%}
    {%- if execute -%}
        {%- set chosen = the_version(versions, version) -%}
        {%- if chosen.status == 'champion' and not versions | selectattr('status', 'equalto', 'canary') | list
            and not versions | selectattr('is_pinned') | list -%}
            {%- do exceptions.raise_compiler_error('clv: ' ~ version ~ ' is the champion already.') -%}
        {%- endif -%}
        {%- do refuse_without_scores(chosen) -%}
        {%- do change_champion(versions, chosen, 'retired', reason) -%}
    {%- endif -%}
{% endmacro %}

{#
    Withdraws the champion, and makes the version that served before it champion again; a canary is retired
    too. A withdrawn version serves again only by promote_model or pin_model:
        dbt run-operation rollback_model --args '{reason: "…"}'
#}
{% macro rollback_model(reason) %}
    {%- set versions = known_versions() -%}
    {%- if execute -%}
        {%- set former = versions | selectattr('status', 'equalto', 'retired')
            | selectattr('last_served_number') | selectattr('is_comparable')
            | sort(attribute='last_served_number', reverse=true) -%}
        {%- if not former -%}
            {%- do exceptions.raise_compiler_error(
                'clv: no version served before the champion, so there is nothing to roll back to'
                ~ ('; the canary goes with withdraw_canary.'
                    if versions | selectattr('status', 'equalto', 'canary') | list else '.')
            ) -%}
        {%- endif -%}
        {%- do refuse_without_scores(former[0]) -%}
        {%- do change_champion(versions, former[0], 'withdrawn', reason) -%}
    {%- endif -%}
{% endmacro %}

{#
    Withdraws the canary only; the champion serves its share again:
        dbt run-operation withdraw_canary --args '{reason: "…"}'
#}
{% macro withdraw_canary(reason) %}
    {%- set versions = known_versions() -%}
    {%- if execute -%}
        {%- set canaries = versions | selectattr('status', 'equalto', 'canary') | list -%}
        {%- if not canaries -%}
            {%- do exceptions.raise_compiler_error('clv: there is no canary to withdraw.') -%}
        {%- endif -%}
        {%- set events = [] -%}
        {%- for canary in canaries -%}
            {%- do events.append((canary.model_version, 'withdrawn', reason)) -%}
        {%- endfor -%}
        {%- do tell_registry(
            events, versions[0].as_of_date, canaries[0].model_version ~ ' is withdrawn'
        ) -%}
    {%- endif -%}
{% endmacro %}

{#
    Makes a version the champion from the next run on, whatever the gate decides, until unpin_model; it
    may be any version with the champion's definition:
        dbt run-operation pin_model --args '{version: "2024-12-31-1a2b3c4d", reason: "…"}'
#}
{% macro pin_model(version, reason) %}
    {%- set versions = known_versions() -%}
    {%- if execute -%}
        {%- set chosen = the_version(versions, version) -%}
        {%- do tell_registry(
            [(chosen.model_version, 'pinned', reason)], chosen.as_of_date,
            chosen.model_version ~ ' is pinned: it serves from the next run on'
        ) -%}
    {%- endif -%}
{% endmacro %}

{#
    Lets the gate decide again; the serving version stays until then:
        dbt run-operation unpin_model --args '{reason: "…"}'
#}
{% macro unpin_model(reason) %}
    {%- set versions = known_versions() -%}
    {%- if execute -%}
        {%- set pinned = versions | selectattr('is_pinned') | list -%}
        {%- if not pinned -%}
            {%- do exceptions.raise_compiler_error('clv: no version is pinned.') -%}
        {%- endif -%}
        {%- do tell_registry(
            [(pinned[0].model_version, 'unpinned', reason)], pinned[0].as_of_date,
            pinned[0].model_version ~ ' is no longer pinned'
        ) -%}
    {%- endif -%}
{% endmacro %}

{#
    The status of each version of the log that was built last → list of dicts; is_comparable if it has
    the champion's definition, scored_until the day of its latest scores.
#}
{% macro known_versions() %}
    {%- if execute -%}
        {%- if load_relation(ref('int_logs')) is none or load_relation(ref('int_predictions__expected')) is none -%}
            {%- do exceptions.raise_compiler_error(
                'clv: nothing has been built here yet, so there is no model version.'
            ) -%}
        {%- endif -%}
    {%- endif -%}
    {%- set query -%}
        with latest as (

            {{ version_statuses() | indent(12) }}

        ),

        versions as (

            select distinct
                model_version,
                definition
            from {{ source('clv_state', 'registry_parameters') }}

        ),

        champion as (

            select versions.definition
            from {{ ref('int_serving') }} as serving
            inner join versions
                on serving.model_version = versions.model_version
            where serving.status = 'champion'

        ),

        scores as (

            select
                predictions.model_version,
                max(predictions.cutoff_date) as scored_until
            from {{ ref('int_predictions__expected') }} as predictions
            inner join {{ ref('int_cutoffs') }} as cutoffs
                on predictions.cutoff_date = cutoffs.cutoff_date and cutoffs.is_production
            group by 1

        )

        select
            latest.model_version,
            latest.status,
            latest.last_served_number,
            versions.definition = champion.definition as is_comparable,
            latest.is_pinned,
            cast(scores.scored_until as {{ type_text() }}) as scored_until,
            cast(as_of.as_of_date as {{ type_text() }}) as as_of_date
        from latest
        inner join versions
            on latest.model_version = versions.model_version
        cross join {{ ref('int_as_of') }} as as_of
        cross join champion
        left join scores
            on latest.model_version = scores.model_version
    {%- endset -%}
    {%- set versions = [] -%}
    {%- if execute -%}
        {%- for row in run_query(query).rows -%}
            {%- do versions.append(dict(row)) -%}
        {%- endfor -%}
        {%- if not versions -%}
            {%- do exceptions.raise_compiler_error('clv: no model version serves yet.') -%}
        {%- endif -%}
    {%- endif -%}
    {%- do return(versions) -%}
{% endmacro %}

{# The version of that name, which must have the champion's definition. #}
{% macro the_version(versions, name) %}
    {%- set found = versions | selectattr('model_version', 'equalto', name | string) | list -%}
    {%- if not found -%}
        {%- do exceptions.raise_compiler_error(
            "clv: there is no model version '" ~ name ~ "': model_registry lists them."
        ) -%}
    {%- elif not found[0].is_comparable -%}
        {%- do exceptions.raise_compiler_error(
            'clv: ' ~ name ~ ' defines value differently from the champion, so it cannot replace '
            ~ 'it: run a full build with the variables of its definition (model_registry).'
        ) -%}
    {%- endif -%}
    {%- do return(found[0]) -%}
{% endmacro %}

{# No customer may lose their score: a version serves at once only if all have a current one by it. #}
{% macro refuse_without_scores(version) %}
    {%- if version.scored_until | string != version.as_of_date | string -%}
        {%- do exceptions.raise_compiler_error(
            'clv: ' ~ version.model_version ~ ' has no scores as of ' ~ version.as_of_date
            ~ (' (its latest are of ' ~ version.scored_until ~ ')' if version.scored_until else '')
            ~ '. Pin it with pin_model, and the next run scores it and makes it the champion.'
        ) -%}
    {%- endif -%}
{% endmacro %}

{# Makes a version champion; the former champion becomes `leaves`, a canary is retired, another pin ends. #}
{% macro change_champion(versions, chosen, leaves, reason) %}
    {%- set events = [(chosen.model_version, 'champion', reason)] -%}
    {%- for other in versions if other.model_version != chosen.model_version -%}
        {%- if other.status in ['champion', 'canary'] -%}
            {%- do events.append((
                other.model_version, leaves if other.status == 'champion' else 'retired',
                'replaced by ' ~ chosen.model_version ~ ': ' ~ reason
            )) -%}
        {%- endif -%}
        {%- if other.is_pinned -%}
            {%- do events.append((other.model_version, 'unpinned', reason)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do tell_registry(events, chosen.as_of_date, chosen.model_version ~ ' is the champion') -%}
{% endmacro %}

{# Appends an operator's events, (version, status, reason) each, in one statement; logs what to run next. #}
{% macro tell_registry(events, as_of_date, outcome) %}
    {%- set rows = [] -%}
    {%- for version, status, reason in events -%}
        {%- do rows.append(
            "select '" ~ version ~ "' as model_version, " ~ loop.index ~ " as step, '" ~ status
            ~ "' as status, '" ~ (reason | string).replace('\\', ' ').replace("'", ' ')
            .replace('\n', ' ') ~ "' as reason, cast('" ~ as_of_date ~ "' as date) as decided_on"
        ) -%}
    {%- endfor -%}
    {%- do run_query(append_events(rows | join(' union all '), 'operator')) -%}
    {#- Looking up relations began a transaction, which would be rolled back at the end. -#}
    {%- do adapter.commit() -%}
    {{ log('clv: ' ~ outcome ~ '. The marts follow with: scripts/build.sh --run daily_scoring --as-of '
        ~ as_of_date, info=true) }}
{% endmacro %}
