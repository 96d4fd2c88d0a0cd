{# Whether this run scores on incremental history (var clv_run: daily) instead of rebuilding everything. #}
{% macro is_daily() %}
    {{- return(var('clv_run') == 'daily') -}}
{% endmacro %}

{#
    The first days that a daily run reads or writes, as dates of Python, all known before it starts:
    a warehouse prunes partitions by literals only.

    lines_from      lines from this day on are read again and replace those of the last run
    reach_from      covers the days that a refund from lines_from on can reach, the refunds of those
                    days and the days within their reach; also all days not closed by the last full run
    touches_from    the earliest of the lines that int_first_touches__closed has not read
    days_from       purchase days that such a refund can change; replaced as well
    closed_from    the earliest that purchase days can have been closed by the last full run
    year_from       the year before the as-of date, or the longest horizon
    until           the day after the last month that is written
#}
{% macro daily_window() %}
    {%- do check_date_config() -%}
    {%- set as_of = modules.datetime.date.fromisoformat(
        (var('clv_as_of_date') or '1970-01-01') | string
    ) -%}
    {%- set days = modules.datetime.timedelta -%}
    {%- set refund_days = days(var('clv_refund_days')) -%}
    {%- set lines_from = (as_of - days(var('clv_lookback_days'))).replace(day=1) -%}
    {%- set days_from = (lines_from - refund_days).replace(day=1) -%}
    {%- set closed_from = (days_from - days(var('clv_days_between_full_runs'))).replace(day=1) -%}
    {%- do return({
        'lines_from': lines_from,
        'reach_from': [lines_from - refund_days - refund_days, closed_from] | min,
        'touches_from': (lines_from - days(var('clv_days_between_full_runs') + 31)).replace(day=1),
        'days_from': days_from,
        'closed_from': closed_from,
        'year_from': as_of - days(([365] + shaped('clv_horizons')) | max + 1),
        'until': (as_of.replace(day=1) + days(32)).replace(day=1),
    }) -%}
{% endmacro %}

{# A filter by which a warehouse prunes partitions. #}
{% macro since(column, first_day) -%}
    {{ column }} >= date '{{ first_day }}'
{%- endmacro %}

{# The same for instants: two days earlier, for any time zone. The local day decides. #}
{% macro instants_since(column, first_day) -%}
    {{ column }} >= timestamp '{{ first_day - modules.datetime.timedelta(2) }}'
{%- endmacro %}

{#
    Settings that a daily run must share with the last full run, as JSON: the definition of value, the
    segments, how far lines are read again; and, as hashes, the tables and columns that are read.
#}
{% macro daily_settings() -%}
    {%- set settings = fromjson(cut_point_settings()) -%}
    {%- for name in ['clv_lookback_days', 'clv_overlay', 'clv_gate_horizon_days'] -%}
        {%- do settings.update({name: var(name)}) -%}
    {%- endfor -%}
    {%- if is_monthly() -%}{%- do settings.update({'clv_period': var('clv_period')}) -%}{%- endif -%}
    {%- for name in ['clv_source_schema', 'clv_input_tables', 'clv_input_columns'] -%}
        {%- do settings.update({name: local_md5(tojson(var(name), sort_keys=true))}) -%}
    {%- endfor -%}
    {{- tojson(settings, sort_keys=true) | replace("'", '') -}}
{%- endmacro %}
