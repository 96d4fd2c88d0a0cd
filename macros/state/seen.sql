{#
    Joins a table of state to the logs that this run reads, each up to its date: the only way in which
    state is read. Excludes rows of other logs, and later rows of this one. Every table of state has a
    column log_id; `date` is the column that dates its rows.
    from {{ source('clv_state', 'registry_events') }} as events
    {{ seen('events', 'decided_on') }}
#}
{% macro seen(alias, date, logs=none) -%}
    inner join {{ logs or ref('int_logs') }} as seen_logs
        on
            {{ alias }}.log_id = seen_logs.log_id
            and {{ alias }}.{{ date }} <= seen_logs.seen_until
{%- endmacro %}

{# The log whose state this run writes. #}
{% macro current_log() -%}
    (
        select current_logs.log_id
        from {{ ref('int_logs') }} as current_logs
        where current_logs.is_current
    )
{%- endmacro %}

{# Logs of the same shop have ids with the same first eight characters. #}
{% macro log_family(log_id) -%}
    substr({{ log_id }}, 1, 8)
{%- endmacro %}

{# The months of the newest accepted load with which this run is compared. #}
{% macro last_load() -%}
    select loads.*
    from {{ source('clv_state', 'accepted_loads') }} as loads
    inner join {{ ref('int_logs__chosen') }} as logs
        on
            loads.log_id = logs.log_id
            and loads.as_of_date <= logs.compared_until
    qualify rank() over (order by loads.as_of_date desc, loads.recorded_at desc) = 1
{%- endmacro %}

{# Whether a month of two loads has a customer in common; null if one of them has no hashes. #}
{% macro has_a_customer_in_common(ours, theirs) -%}
    {{ ours }}.first_customer_hash = {{ theirs }}.first_customer_hash
    or {{ ours }}.last_customer_hash = {{ theirs }}.last_customer_hash
{%- endmacro %}

{# Whether the month had ended when it was accepted, and has ended by the last day of this load. #}
{% macro has_ended(theirs, last_day) -%}
    {{ add_months(theirs ~ '.transaction_month', 1) }}
    <= {{ add_days('least(' ~ theirs ~ '.as_of_date, ' ~ last_day ~ ')', 1) }}
{%- endmacro %}
