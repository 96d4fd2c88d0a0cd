{#
    Appends this run's candidate with its spec's backtest metrics to the registry after the decisions,
    unless it is registered: a post-hook of int_registry__decisions.
#}
{% macro register_candidate() -%}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    {%- set columns = state_tables()['registry_parameters'].keys() | list -%}
    {%- set added = backtest_metrics() + ['log_id', 'recorded_at'] -%}
    insert into {{ source('clv_state', 'registry_parameters') }} ({{ columns | join(', ') }})
    select
        {%- for column in columns if column not in added %}
        candidate.{{ column }},
        {%- endfor %}
        {%- for metric in backtest_metrics() %}
        backtest.{{ metric }},
        {%- endfor %}
        {{ current_log() | indent(8) }} as log_id,
        {{ now() }} as recorded_at
    from {{ ref('int_candidate') }} as candidate
    cross join {{ ref('int_backtest__spec') }} as backtest
    where
        candidate.model_version in (select decided.model_version from {{ this }} as decided)
        and candidate.model_version not in (
            select registered.model_version
            from {{ source('clv_state', 'registry_parameters') }} as registered
        )
{%- endmacro %}

{# Appends the rows of int_registry__decisions, in order, unless they are registered. #}
{% macro register_decisions() -%}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    {{ append_events(
        'select model_version, step, status, reason, decided_on from ' ~ this, 'gate'
    ) }}
{%- endmacro %}

{# Appends events (model_version, step, status, reason, decided_on) of this log, unless they exist. #}
{% macro append_events(query, decided_by) -%}
    {%- set events = source('clv_state', 'registry_events') -%}
    insert into {{ events }} (
        event_number, model_version, status, reason, decided_by, decided_on, log_id, recorded_at
    )
    with latest as (

        {{ version_statuses() | indent(8) }}

    ),

    numbers as (

        select coalesce(max(event_number), 0) as last_number
        from {{ events }}

    )

    select
        numbers.last_number
        + row_number() over (order by decided.step, decided.model_version),
        decided.model_version,
        decided.status,
        decided.reason,
        '{{ decided_by }}',
        decided.decided_on,
        {{ current_log() | indent(8) }},
        {{ now() }}
    from ({{ query }}) as decided
    cross join numbers
    left join latest
        on
            decided.model_version = latest.model_version
            and decided.status = latest.status
    where latest.model_version is null
{%- endmacro %}
