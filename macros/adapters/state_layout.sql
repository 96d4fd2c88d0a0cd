{#
    Partitioning of a table of state: by the month in which a row was written. Without expiration, whatever
    the default of its dataset.
#}
{% macro state_layout(table) -%}
    {{ adapter.dispatch('state_layout', 'clv')(table) }}
{%- endmacro %}

{% macro default__state_layout(table) %}{% endmacro %}

{% macro bigquery__state_layout(table) -%}
    partition by timestamp_trunc(recorded_at, month)
    {%- if table in state_clusters() %} cluster by {{ state_clusters()[table] | join(', ') }}{% endif %}
    options (expiration_timestamp = null, partition_expiration_days = null)
{%- endmacro %}
