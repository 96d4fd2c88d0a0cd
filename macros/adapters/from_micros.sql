{#
    The instant so many microseconds after 1970-01-01 00:00 UTC.
    from_micros('86400000000') -> 1970-01-02 00:00:00
#}
{% macro from_micros(micros) -%}
    {{ return(adapter.dispatch('from_micros', 'clv')(micros)) }}
{%- endmacro %}

{% macro default__from_micros(micros) -%}
    make_timestamp(cast({{ micros }} as bigint))
{%- endmacro %}

{% macro bigquery__from_micros(micros) -%}
    timestamp_micros({{ micros }})
{%- endmacro %}
