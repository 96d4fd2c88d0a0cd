{#
    Appends the profile of this load to clv_state.accepted_loads, under its log: a post-hook of
    int_as_of, which a refused load does not reach.
#}
{% macro accept_load() %}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    {%- set columns = [
        'transaction_month', 'currency', 'line_count', 'duplicate_count', 'refund_count',
        'purchase_days', 'customers', 'sales_amount', 'active_days', 'lines_without_user',
        'first_transaction_date', 'last_transaction_date',
        'first_customer_hash', 'last_customer_hash',
    ] %}
    insert into {{ source('clv_state', 'accepted_loads') }} (
        invocation_id, as_of_date, log_id, continues_until, {{ columns | join(', ') }}, recorded_at
    )
    select
        '{{ invocation_id }}',
        (select as_of_date from {{ this }}),
        logs.log_id,
        logs.continues_until,
        {%- for column in columns %}
        checked.{{ column }},
        {%- endfor %}
        {{ run_started() }}
    from {{ ref('int_loads__checked') }} as checked
    cross join {{ ref('int_logs__chosen') }} as logs
    where checked.line_count is not null and logs.is_current
{% endmacro %}

{# When this run of dbt started, an instant in UTC. #}
{% macro run_started() -%}
    cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as {{ type_instant() }})
{%- endmacro %}
