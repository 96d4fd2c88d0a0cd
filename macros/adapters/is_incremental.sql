{#
    dbt's own, which asks the warehouse; ours asks only where the answer can be yes. What is compiled
    for BigQuery without being run is the statement of a first build, so that it needs no network.
#}
{% macro is_incremental() %}
    {%- if not execute or model.config.materialized != 'incremental'
        or flags.WHICH == 'compile' and not adapter.dispatch('asks_when_compiling', 'clv')() -%}
        {%- do return(false) -%}
    {%- endif -%}
    {%- do return(dbt.is_incremental()) -%}
{% endmacro %}

{% macro default__asks_when_compiling() %}
    {%- do return(true) -%}
{% endmacro %}

{% macro bigquery__asks_when_compiling() %}
    {%- do return(false) -%}
{% endmacro %}
