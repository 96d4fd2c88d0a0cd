{#
    A pre-hook that runs `sql` by itself, before the transaction of the model that it belongs to.
    before_transaction('delete from t') -> config(pre_hook=[…])
    BigQuery has no such transaction: dbt-bigquery silently leaves out hooks that are outside of it.
#}
{% macro before_transaction(sql) -%}
    {{ return(adapter.dispatch('before_transaction', 'clv')(sql)) }}
{%- endmacro %}

{% macro default__before_transaction(sql) -%}
    {{ return([{'sql': sql, 'transaction': false}]) }}
{%- endmacro %}

{% macro bigquery__before_transaction(sql) -%}
    {{ return([{'sql': sql, 'transaction': true}]) }}
{%- endmacro %}
