{#
    Stops a load with a fault that was not accepted, or with a currency without a rate, with one
    sentence: a pre-hook of int_as_of, from which everything else descends, so that the marts of the last
    good run and all state stay unchanged.
#}
{% macro refuse_load() %}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    with faults as (

        select
            currency,
            currency_fault,
            fault,
            count(*) over (partition by 1) as months
        from {{ ref('int_loads__checked') }}
        where
            currency_fault is not null
            {%- if not var('clv_accept_load') %}
            or fault is not null
            {%- endif %}
        qualify row_number() over (
            partition by 1
            order by
                case when currency_fault is null then 1 else 0 end,
                transaction_month,
                currency
        ) = 1

    )

    select *
    from faults
    where
        case
            when currency_fault is not null
                then {{ raise_error(
                    "concat('clv: ', replace(currency_fault, currency, " ~ shown_code('currency') ~ "), '.')"
                ) }}
            when fault is not null
                then {{ raise_error(
                    "concat('clv: ', fault, '; in all ', cast(months as " ~ type_text() ~ "), "
                    ~ "' months are at fault (column fault of int_loads__checked). Load it again, or "
                    ~ "accept it as it is with var clv_accept_load: true.')"
                ) }}
            else false
        end
{% endmacro %}

{#
    Stops a run that registers no version (a weekly backtest, a daily run) if no version with its definition
    serves: in a log that has not been built yet, before the day of its first version, or with another
    definition than the champion's. A log too short for a forecast has no versions, and needs none.
#}
{% macro refuse_without_champion() %}
    {%- if flags.EMPTY or 'model.clv.int_scores__served' not in selected_resources
        or 'model.clv.int_registry__decisions' in selected_resources and not is_daily() -%}
        {{ return('select 1') }}
    {%- endif -%}
    with logs as (

        select *
        from {{ ref('int_logs__chosen') }}

    ),

    versions as (

        select distinct
            model_version,
            definition
        from {{ source('clv_state', 'registry_parameters') }}

    ),

    champion as (

        select versions.definition
        from ({{ version_statuses(ref('int_logs__chosen')) | indent(8) }}) as statuses
        inner join versions
            on statuses.model_version = versions.model_version
        where statuses.status = 'champion'

    ),

    standing as (

        select
            (select max(champion.definition) from champion) as definition,
            (
                select count(*)
                from {{ source('clv_state', 'registry_events') }} as told
                where
                    {{ log_family('told.log_id') }} in (
                        select {{ log_family('ours.log_id') }} from logs as ours
                    )
            ) as events,
            (
                select count(*)
                from {{ source('clv_state', 'accepted_loads') }} as loads
                where
                    {{ log_family('loads.log_id') }} in (
                        select {{ log_family('ours.log_id') }} from logs as ours
                    )
            ) as months

    )

    select *
    from standing
    where
        case
            when months = 0 or (events > 0 and coalesce(definition, '') != '{{ model_definition() }}')
                then {{ raise_error(
                    "concat('clv: no model version with the definition of this run serves', "
                    ~ "case when definition is null then '' else "
                    ~ "concat(' (the definition of the champion is ', definition, ')') end, "
                    ~ "'. Run a full build, which makes one, or set the variables of the champion.')"
                ) }}
            else false
        end
{% endmacro %}
