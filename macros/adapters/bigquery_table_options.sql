{#
    dbt-bigquery's, which leaves the expiration of tables and partitions to the dataset. Here a table is kept
    unless hours_to_expiration is set, and its partitions as long as the table.
#}
{% macro bigquery_table_options(config, node, temporary) %}
    {%- set options = adapter.get_table_options(config, node, temporary) -%}
    {%- if not temporary -%}
        {%- do options.setdefault('expiration_timestamp', 'null') -%}
        {%- if config.get('partition_by') -%}
            {%- do options.setdefault('partition_expiration_days', 'null') -%}
        {%- endif -%}
    {%- endif -%}
    {%- do return(bigquery_options(options)) -%}
{% endmacro %}
