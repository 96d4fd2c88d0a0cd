{#
    A time of an input as an instant in UTC. A day without a time, of type date or as text, is a
    day in the time zone of var clv_time_zone and means its start; every other time is unambiguous.
    `type` is the column's type in the warehouse, null where it is not known; `is_safe`: null where
    the text is not a time.
    as_instant("date '2024-01-02'", 'DATE') -> 2024-01-01 23:00:00 in Europe/Berlin
#}
{% macro as_instant(value, type=none, is_safe=false, time_zone=none) -%}
    {%- set instant = safe_cast_to(value, type_instant()) if is_safe
        else 'cast(' ~ value ~ ' as ' ~ type_instant() ~ ')' -%}
    {%- if (time_zone or var('clv_time_zone')) == 'UTC' -%}
        {{ instant }}
    {%- else -%}
        {{ return(adapter.dispatch('as_instant', 'clv')(value, type, instant, time_zone)) }}
    {%- endif -%}
{%- endmacro %}

{# The type is looked up when the view is read, at no cost: a later load may change it. #}
{% macro default__as_instant(value, type, instant, time_zone) -%}
    {%- set start = local_start(safe_cast_to(value, 'date'), time_zone) -%}
    case typeof({{ value }})
            when 'DATE' then {{ start }}
            when 'VARCHAR' then
                case
                    when length(trim(cast({{ value }} as varchar))) <= 10 then {{ start }}
                    else {{ instant }}
                end
            else {{ instant }}
        end
{%- endmacro %}

{# Partitions are pruned by a bare column: a column with a time by its type is only cast. #}
{% macro bigquery__as_instant(value, type, instant, time_zone) -%}
    {%- if (type or '') | upper in ['TIMESTAMP', 'DATETIME'] -%}
        {{ instant }}
    {%- elif (type or '') | upper == 'DATE' -%}
        {{ local_start(value, time_zone) }}
    {%- else -%}
        case
            when length(trim(cast({{ value }} as string))) <= 10
                then {{ local_start(safe_cast_to(value, 'date'), time_zone) }}
            else {{ instant }}
        end
    {%- endif -%}
{%- endmacro %}
