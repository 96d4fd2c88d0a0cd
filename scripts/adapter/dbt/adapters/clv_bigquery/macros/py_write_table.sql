{#
    What runs of a Python model on BigQuery: its code and the functions that dbt adds, and nothing of the
    program for Spark that dbt-bigquery would write around it (scripts/adapter runs it).
#}
{% macro py_write_table(compiled_code, target_relation) %}
{{ compiled_code }}
{% endmacro %}
