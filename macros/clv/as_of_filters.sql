{#
    Filters by days that are written out, by which a warehouse prunes partitions, each beside a join that says the
    same. All are true where the as-of date is found in the log, and in unit tests, whose rows have days of their own.
#}
{% macro given_as_of() %}
    {%- do check_date_config() -%}
    {%- set is_given = var('clv_as_of_date') is not none and model.resource_type != 'unit_test' -%}
    {%- do return(
        modules.datetime.date.fromisoformat(var('clv_as_of_date') | string) if is_given else none
    ) -%}
{% endmacro %}

{# Beside a join on the production cutoff: that day. #}
{% macro at_as_of(column) -%}
    {%- set as_of = given_as_of() -%}
    {{ column ~ " = date '" ~ as_of ~ "'" if as_of else 'true' }}
{%- endmacro %}

{# Beside a join on backtest cutoffs: the days before, so many at least. #}
{% macro before_as_of(column, days=1) -%}
    {%- set as_of = given_as_of() -%}
    {{ column ~ " <= date '" ~ (as_of - modules.datetime.timedelta(days)) ~ "'" if as_of else 'true' }}
{%- endmacro %}

{# Beside a comparison with cutoffs: no earlier than so many days before it. #}
{% macro within_days(column, days) -%}
    {%- set as_of = given_as_of() -%}
    {{ since(column, as_of - modules.datetime.timedelta(days)) if as_of else 'true' }}
{%- endmacro %}

{#
    Beside a join on int_settled_until: the day that it holds, in a full run. A daily run goes by that of the last
    full run, whatever it was.
#}
{% macro at_settled(column, operator) -%}
    {%- set as_of = none if is_daily() else given_as_of() -%}
    {{ column ~ ' ' ~ operator ~ " date '" ~ daily_window().days_from ~ "'" if as_of else 'true' }}
{%- endmacro %}
