{#
    Tables of state, which a rebuild cannot recompute, such as the ledger of exported rows. They are in
    schema <target schema>_state and survive --full-refresh. Rows are only appended, and deleted
    only by forget_state and erase_customer.
    Returns table → column → type. Every table has recorded_at, the time the row was written, and,
    but for run_results, log_id, the log that it is the state of (macro seen).
#}
{% macro state_tables() %}
    {%- set text, instant, count = type_text(), type_instant(), type_integer() -%}
    {%- set money = type_money() -%}
    {%- set registered = {
        'model_version': text, 'version_base': text, 'revision': count, 'stratum': text,
        'definition': text, 'spec': text, 'git_commit': text, 'purchase_model': text, 'k': count,
    } -%}
    {%- for name in model_parameter_names() -%}
        {%- do registered.update({name: type_double(), 'se_' ~ name: type_double()}) -%}
    {%- endfor -%}
    {%- do registered.update({
        'season': text, 'customers': count, 'log_likelihood': type_double(),
        'value_log_likelihood': type_double(), 'is_converged': 'boolean', 'message': text,
        'data_from': 'date', 'fitted_until': 'date',
    }) -%}
    {%- for metric in backtest_metrics() -%}
        {%- do registered.update(
            {metric: count if metric == 'backtest_cutoffs' else type_double()}
        ) -%}
    {%- endfor -%}
    {%- do registered.update({'log_id': text, 'recorded_at': instant}) -%}
    {%- do return({
        'registry_parameters': registered,
        'registry_events': {
            'event_number': count, 'model_version': text, 'status': text, 'reason': text,
            'decided_by': text, 'decided_on': 'date', 'log_id': text, 'recorded_at': instant,
        },
        'export_runs': {
            'run_id': text, 'run_number': count, 'target': text, 'event': text, 'mode': text,
            'exit_code': count, 'synced_rows': count, 'removed_rows': count,
            'rejected_rows': count, 'transient_rows': count, 'consent_users': count,
            'refusing_users': count, 'suppressed_users': count, 'linked_users': count, 'git_commit': text, 'log_id': text, 'as_of_date': 'date',
            'recorded_at': instant,
        },
        'export_requests': {
            'run_id': text, 'run_number': count, 'target': text, 'chunk': count,
            'request_id': text, 'log_id': text, 'recorded_at': instant,
        },
        'export_ledger': {
            'run_id': text, 'run_number': count, 'chunk': count, 'target': text,
            'customer_id': text, 'customer_key': text, 'key_id': text, 'op': text,
            'row_hash': text, 'is_synced': 'boolean', 'is_transient': 'boolean', 'code': text,
            'log_id': text, 'recorded_at': instant,
        },
        'export_deletions': {
            'target': text, 'customer_key': text, 'erasure_id': text, 'log_id': text,
            'recorded_at': instant,
        },
        'erasures': {
            'erasure_id': text, 'ordered_by': text, 'table_count': count, 'row_count': count,
            'log_id': text, 'recorded_at': instant,
        },
        'accepted_loads': {
            'invocation_id': text, 'as_of_date': 'date', 'transaction_month': 'date',
            'currency': text, 'line_count': count, 'duplicate_count': count,
            'refund_count': count, 'purchase_days': count, 'customers': count,
            'sales_amount': money, 'active_days': count, 'lines_without_user': count,
            'first_transaction_date': 'date', 'last_transaction_date': 'date',
            'first_customer_hash': text, 'last_customer_hash': text, 'log_id': text,
            'continues_until': 'date', 'recorded_at': instant,
        },
        'run_results': {
            'invocation_id': text, 'node': text, 'resource_type': text, 'status': text,
            'message': text, 'duration_seconds': type_double(), 'rows_attempted': count,
            'rows_scored': count, 'model_version': text, 'as_of_date': 'date',
            'started_at': instant, 'recorded_at': instant,
        },
        'score_profiles': {
            'invocation_id': text, 'as_of_date': 'date', 'score_bin': count, 'customers': count,
            'log_id': text, 'recorded_at': instant,
        },
        'equity_history': {
            'invocation_id': text, 'definition': text, 'run_kind': text, 'as_of_date': 'date',
            'horizon_days': count, 'model_version': text, 'customers': count,
            'expected_purchases': type_double(), 'clv': type_double(),
            'expected_value': type_double(), 'value_variance': type_double(),
            'shared_error': type_double(), 'degrees_of_freedom': type_double(),
            'windows': type_double(), 'learned_horizon_days': count, 'interval_source': text,
            'learned_on': 'date', 'log_id': text, 'recorded_at': instant,
        },
    }) -%}
{% endmacro %}

{# Columns by which a table of state is clustered, where it is large enough. #}
{% macro state_clusters() %}
    {%- do return({'export_ledger': ['target', 'customer_key']}) -%}
{% endmacro %}

{#
    Stateful models → suffix of their schema: they are not rebuilt, and their rows belong to a log.
#}
{% macro state_models() %}
    {%- do return({
        'int_segments__remembered': '_state',
        'int_segments__frozen_cut_points': '_state',
    }) -%}
{% endmacro %}
