{#
    dbt-duckdb reads `partition_by`, the config of BigQuery, as its own for DuckLake and fails on it.
    A plain DuckDB file has no partitions.
#}
{% macro duckdb__get_partitioned_by(relation, temporary) -%}
    {{ return(none) }}
{%- endmacro %}
