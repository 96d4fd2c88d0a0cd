{#
    The calendar day of a UTC instant in the time zone of var clv_time_zone.
    local_date("timestamp '2024-01-01 23:30:00'") -> 2024-01-02 in Europe/Berlin
#}
{% macro local_date(instant) -%}
    {%- if var('clv_time_zone') == 'UTC' -%}
        cast({{ instant }} as date)
    {%- else -%}
        {{ return(adapter.dispatch('local_date', 'clv')(instant, var('clv_time_zone'))) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__local_date(instant, time_zone) -%}
    cast(timezone('{{ time_zone }}', timezone('UTC', {{ instant }})) as date)
{%- endmacro %}

{% macro bigquery__local_date(instant, time_zone) -%}
    date({{ instant }}, '{{ time_zone }}')
{%- endmacro %}
