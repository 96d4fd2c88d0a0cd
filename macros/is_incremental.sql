{#
    dbt's own, which asks the warehouse; ours asks only where the answer can be yes, so that
    `dbt compile` needs no network. What it compiles is the statement of a first build.
#}
{% macro is_incremental() %}
    {%- if not execute or model.config.materialized != 'incremental' or flags.WHICH == 'compile' -%}
        {%- do return(false) -%}
    {%- endif -%}
    {%- do return(dbt.is_incremental()) -%}
{% endmacro %}
