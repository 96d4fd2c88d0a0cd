{#
    dbt's hook for the rows that a generic test reads (config where). In a daily run the tests of
    tables that grow with the log read the months that the run replaces, not all of them.
#}
{% macro get_where_subquery(relation) -%}
    {%- set days = history_days() -%}
    {%- if is_daily() and relation.identifier in days -%}
        {%- do return(
            '(select * from ' ~ relation ~ ' where '
            ~ since(days[relation.identifier][0], daily_window()[days[relation.identifier][1]])
            ~ ') as recent'
        ) -%}
    {%- endif -%}
    {%- do return(adapter.dispatch('get_where_subquery', 'dbt')(relation)) -%}
{%- endmacro %}

{#
    The tables that grow with the log → the day each is partitioned by, and of daily_window() from which on
    a daily run replaces them.
#}
{% macro history_days() %}
    {%- do return({
        'int_transactions__resolved': ['transaction_date', 'lines_from'],
        'int_refunds__matched': ['refund_date', 'lines_from'],
        'int_purchase_days': ['purchase_date', 'days_from'],
    }) -%}
{% endmacro %}
