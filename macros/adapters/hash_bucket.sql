{#
    A whole number from 0 to `buckets` - 1 that depends on a text only, evenly spread and the same
    on every warehouse.
    hash_bucket("'abc'", 100) -> 72
#}
{% macro hash_bucket(text, buckets) -%}
    {{ return(adapter.dispatch('hash_bucket', 'clv')(text, buckets)) }}
{%- endmacro %}

{% macro default__hash_bucket(text, buckets) -%}
    mod(cast('0x' || substr(md5({{ text }}), 1, 8) as bigint), {{ buckets }})
{%- endmacro %}

{% macro bigquery__hash_bucket(text, buckets) -%}
    mod(cast(concat('0x', substr(to_hex(md5({{ text }})), 1, 8)) as int64), {{ buckets }})
{%- endmacro %}
