{#
    Appends the profile of this load to clv_state.accepted_loads, unless it has a fault that nobody
    accepted: without tests (dbt run) a bad load comes this far. A post-hook of int_as_of, the first
    model after the load tests.
#}
{% macro accept_load() %}
    {%- set columns = [
        'transaction_month', 'currency', 'line_count', 'duplicate_count', 'refund_count',
        'purchase_days', 'customers', 'sales_amount', 'active_days', 'lines_without_user',
        'first_transaction_date', 'last_transaction_date',
    ] %}
    insert into {{ source('clv_state', 'accepted_loads') }} (
        invocation_id, as_of_date, {{ columns | join(', ') }}, recorded_at
    )
    select
        '{{ invocation_id }}',
        (select as_of_date from {{ this }}),
        {{ columns | join(', ') }},
        {{ run_started() }}
    from {{ ref('int_loads__checked') }}
    where
        line_count is not null
        {%- if not var('clv_accept_load') %}
        and not exists (
            select 1 from {{ ref('int_loads__checked') }} where fault is not null
        )
        {%- endif %}
{% endmacro %}

{# When this run of dbt started, an instant in UTC. #}
{% macro run_started() -%}
    cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as {{ type_instant() }})
{%- endmacro %}
