{#
    Microseconds from 1970-01-01 00:00 UTC to an instant: the same digits on every warehouse.
    epoch_micros("timestamp '1970-01-02 00:00:00'") -> 86400000000
#}
{% macro epoch_micros(instant) -%}
    {{ return(adapter.dispatch('epoch_micros', 'clv')(instant)) }}
{%- endmacro %}

{% macro default__epoch_micros(instant) -%}
    epoch_us({{ instant }})
{%- endmacro %}

{% macro bigquery__epoch_micros(instant) -%}
    unix_micros({{ instant }})
{%- endmacro %}
