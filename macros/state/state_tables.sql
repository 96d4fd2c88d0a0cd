{#
    Tables of state: what a rebuild cannot find out again, such as what has been shipped. They are
    only ever appended to, live in schema <target schema>_state and survive --full-refresh.
    Returns table → column → type. Every table has recorded_at, the time the row was written.
#}
{% macro state_tables() %}
    {%- set text, instant, count = type_text(), type_instant(), type_integer() -%}
    {%- do return({
        'export_runs': {
            'run_id': text, 'target': text, 'event': text, 'mode': text, 'exit_code': count,
            'shipped_rows': count, 'removed_rows': count, 'rejected_rows': count,
            'transient_rows': count, 'git_commit': text, 'recorded_at': instant,
        },
        'export_ledger': {
            'run_id': text, 'target': text, 'customer_key': text, 'op': text, 'row_hash': text,
            'is_shipped': 'boolean', 'is_transient': 'boolean', 'code': text,
            'recorded_at': instant,
        },
    }) -%}
{% endmacro %}

{# Columns by which a table of state is clustered, where it is large enough. #}
{% macro state_clusters() %}
    {%- do return({'export_ledger': ['target', 'customer_key']}) -%}
{% endmacro %}
