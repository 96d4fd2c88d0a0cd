{#
    dbt's own macro queries the warehouse; this one does so only where the answer can be yes. Compiling for
    BigQuery without running gives the statement of a first build and needs no network.
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
