{# How an incremental model replaces whole months: used by replace_months (macros/daily). #}
{% macro default__replace_months_strategy(column, months) %}
    {#- delete+insert deletes by key and predicate; a constant key leaves the predicate. -#}
    {%- do return({
        'incremental_strategy': 'delete+insert',
        'unique_key': 'true',
        'incremental_predicates': [column ~ ' >= ' ~ months[0]],
    }) -%}
{% endmacro %}

{% macro bigquery__replace_months_strategy(column, months) %}
    {%- do return({'incremental_strategy': 'insert_overwrite', 'partitions': months}) -%}
{% endmacro %}
