{#
    The instant, in UTC, at which a calendar day begins in a time zone, that of var clv_time_zone if
    none is given. Where clocks skip midnight it is the first instant of the day.
    local_start("date '2024-01-02'") -> 2024-01-01 23:00:00 in Europe/Berlin
#}
{% macro local_start(day, time_zone=none) -%}
    {{ return(adapter.dispatch('local_start', 'clv')(day, time_zone or var('clv_time_zone'))) }}
{%- endmacro %}

{% macro default__local_start(day, time_zone) -%}
    timezone('UTC', timezone('{{ time_zone }}', cast({{ day }} as timestamp)))
{%- endmacro %}

{% macro bigquery__local_start(day, time_zone) -%}
    timestamp({{ day }}, '{{ time_zone }}')
{%- endmacro %}
