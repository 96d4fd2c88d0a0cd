{#
    Stops if a dataset of this project has a default expiration, as every dataset has in a BigQuery project
    without billing: state and seeds would silently disappear. An empty build may write into such a dataset.
#}
{% macro check_datasets() %}
    {%- if execute and flags.WHICH in ['build', 'run', 'seed'] and not flags.EMPTY -%}
        {%- set places = [(target.database, target.schema ~ '_state')] -%}
        {%- for node in graph.nodes.values() if node.resource_type in ['model', 'seed', 'snapshot'] -%}
            {%- do places.append((node.database, node.schema)) -%}
        {%- endfor -%}
        {%- for database, schema in places | unique -%}
            {%- do adapter.dispatch('check_dataset', 'clv')(database, schema) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{% macro default__check_dataset(database, schema) %}{% endmacro %}

{# Type clv_bigquery of scripts/adapter, the only one that can check this. #}
{% macro clv_bigquery__check_dataset(database, schema) %}
    {%- for what, days in adapter.get_default_expirations(database, schema).items() -%}
        {%- do exceptions.raise_compiler_error(
            'clv: new ' ~ what ~ ' in dataset ' ~ schema ~ ' are deleted after ' ~ days ~ ' days, as in a '
            ~ 'BigQuery project without billing, and history and state with them; with billing, remove the default: '
            ~ 'alter schema `' ~ database ~ '.' ~ schema ~ '` set options (default_table_expiration_days = null, '
            ~ 'default_partition_expiration_days = null).'
        ) -%}
    {%- endfor -%}
{% endmacro %}

{#
    Logs one line with the daily cost if every daily run reads the whole log because its table is not
    partitioned by the timestamp of the filter; stops if its partitions expire.
#}
{% macro default__say_cost_of_log(relation, columns) %}{% endmacro %}

{% macro clv_bigquery__say_cost_of_log(relation, columns) %}
    {%- set table, ts = adapter.get_bq_table(relation), columns['ts'] | lower -%}
    {%- if table is not none and table.table_type == 'TABLE' -%}
        {%- set by = table.time_partitioning -%}
        {%- set types = {} -%}
        {%- for field in table.schema -%}
            {%- do types.update({field.name | lower: field.field_type}) -%}
        {%- endfor -%}
        {%- if by is not none and by.expiration_ms -%}
            {%- do exceptions.raise_compiler_error(
                'clv: partitions of ' ~ relation ~ ' are deleted after ' ~ by.expiration_ms | int // 86400000
                ~ ' days: customers would lose their history. Remove it: alter table ' ~ relation
                ~ ' set options (partition_expiration_days = null).'
            ) -%}
        {%- endif -%}
        {%- set is_pruned = types.get(ts) == 'TIMESTAMP' and (
            by is not none and by.field and by.field | lower == ts
            or (table.clustering_fields or []) | map('lower') | first == ts
        ) -%}
        {#- Three statements read it: one all columns, two about half of them. -#}
        {%- set bytes = 0 if is_pruned else 2 * adapter.get_bytes_read(
            'select ' ~ columns.values() | unique | join(', ') ~ ' from ' ~ relation
        ) -%}
        {%- if bytes -%}
            {%- do log(
                'clv: ' ~ relation ~ ' is not partitioned by a TIMESTAMP ' ~ ts ~ ', so that a daily run reads all of '
                ~ 'it: ' ~ '%.1f' % (bytes / 1000 ** 3) ~ ' GB, $' ~ '%.2f' % (bytes / 1024 ** 4 * 6.25)
                ~ ' a day at $6.25 a TiB. Partition it by the month of ' ~ ts ~ ', as load_bigquery.py does.',
                info=true
            ) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
