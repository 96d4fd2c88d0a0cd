{# Appends the total expected value to clv_state.equity_history: a post-hook of int_equity__today. #}
{% macro keep_equity() %}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    {%- set columns = [
        'as_of_date', 'horizon_days', 'model_version', 'customers', 'expected_purchases',
        'clv', 'expected_value', 'value_variance', 'shared_error', 'degrees_of_freedom',
        'windows', 'learned_horizon_days', 'interval_source', 'learned_on',
    ] %}
    insert into {{ source('clv_state', 'equity_history') }} (
        invocation_id, definition, run_kind, log_id, {{ columns | join(', ') }}, recorded_at
    )
    select
        '{{ invocation_id }}',
        '{{ model_definition() }}',
        '{{ var("clv_run") }}',
        {{ current_log() | indent(8) }},
        {{ columns | join(', ') }},
        {{ run_started() }}
    from {{ this }}
{% endmacro %}
