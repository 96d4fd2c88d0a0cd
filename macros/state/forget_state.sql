{#
    Deletes rows older than var clv_retention_days that do not describe the present state of a destination:
    steps of the ledger before the last confirmed one. An on-run-end hook of full runs that succeed.
#}
{% macro forget_ledger(results) %}
    {%- if is_time_to_forget(results) -%}
        {%- set ledger = source('clv_state', 'export_ledger') -%}
        {#- A literal prunes partitions; the warehouse's clock decides. -#}
        {%- set day = run_started_at.date() - modules.datetime.timedelta(var('clv_retention_days') - 2) %}
        delete from {{ ledger }} as steps
        where
            steps.recorded_at < timestamp '{{ day }}'
            and cast(steps.recorded_at as date)
            < {{ add_days('cast(' ~ now() ~ ' as date)', -var('clv_retention_days')) }}
            and exists (
                select 1
                from (
                    select
                        target,
                        customer_key,
                        max(run_number) as run_number
                    from {{ ledger }}
                    where is_synced
                    group by 1, 2
                ) as arrived
                where
                    arrived.target = steps.target
                    and arrived.customer_key = steps.customer_key
                    and arrived.run_number > coalesce(steps.run_number, 0)
            )
    {%- endif -%}
{% endmacro %}

{# The same for stored segments: rows before the last one of each customer; all rows of former customers. #}
{% macro forget_memory(results) %}
    {%- set memory, customers = ref('int_segments__remembered'), ref('customers') -%}
    {%- set log, as_of = current_log(), ref('int_as_of') -%}
    {%- if is_time_to_forget(results) -%}
        {%- set first_day -%}
            (select {{ add_days('as_of_date', -var('clv_retention_days')) }} from {{ as_of }})
        {%- endset -%}
        delete from {{ memory }} as moves
        where
            moves.log_id = {{ log | indent(12) }}
            and moves.refreshed_on < {{ first_day }}
            and (
                exists (
                    select 1
                    from (
                        select
                            log_id,
                            customer_id,
                            max(refreshed_on) as refreshed_on
                        from {{ memory }}
                        where refreshed_on < {{ first_day }}
                        group by 1, 2
                    ) as held
                    where
                        held.log_id = moves.log_id
                        and held.customer_id = moves.customer_id
                        and held.refreshed_on > moves.refreshed_on
                )
                or moves.customer_id not in (select customer_id from {{ customers }})
            )
    {%- endif -%}
{% endmacro %}

{# Whether this run built everything on which the retention of state depends, without a failure. #}
{% macro is_time_to_forget(results) %}
    {%- set built = ['customers', 'int_segments__remembered', 'int_as_of'] -%}
    {%- set succeeded = results | selectattr('status', 'equalto', 'success')
        | map(attribute='node.name') | list -%}
    {%- set failed = results | selectattr('status', 'in', ['error', 'fail', 'runtime error']) | list -%}
    {%- do return(
        execute and flags.WHICH in ['build', 'run'] and not flags.EMPTY and var('clv_run') != 'daily'
        and not failed
        and not built | reject('in', succeeded) | list
    ) -%}
{% endmacro %}
