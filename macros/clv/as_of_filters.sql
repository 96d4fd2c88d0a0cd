{#
    Filters on literal days, by which a warehouse prunes partitions; each accompanies a join with the same
    condition. All are `true` where the as-of date is read from the log, and in unit tests, whose rows have other days.
#}
{% macro given_as_of() %}
    {%- do check_date_config() -%}
    {%- set is_given = var('clv_as_of_date') is not none and model.resource_type != 'unit_test' -%}
    {%- do return(
        modules.datetime.date.fromisoformat(var('clv_as_of_date') | string) if is_given else none
    ) -%}
{% endmacro %}

{# With a join on the production cutoff: that day. #}
{% macro at_as_of(column) -%}
    {%- set as_of = given_as_of() -%}
    {{ column ~ " = date '" ~ as_of ~ "'" if as_of else 'true' }}
{%- endmacro %}

{# With a join on backtest cutoffs: at least so many days before the as-of date. #}
{% macro before_as_of(column, days=1) -%}
    {%- set as_of = given_as_of() -%}
    {{ column ~ " <= date '" ~ (as_of - modules.datetime.timedelta(days)) ~ "'" if as_of else 'true' }}
{%- endmacro %}

{#
    With a comparison with cutoffs: at most so many days before the as-of date; of a monthly log up to a month
    more, since a cutoff is the end of one.
#}
{% macro within_days(column, days) -%}
    {%- set as_of = given_as_of() -%}
    {%- set most = days + (31 if is_monthly() else 0) -%}
    {{ since(column, as_of - modules.datetime.timedelta(most)) if as_of else 'true' }}
{%- endmacro %}

{#
    With a join on int_closed_until: its day, in a full run. A daily run uses the day of the last full run,
    whatever it was. `of` is which day, a name of daily_window.
#}
{% macro at_closed(column, operator, of='days_from') -%}
    {%- set as_of = none if is_daily() else given_as_of() -%}
    {{ column ~ ' ' ~ operator ~ " date '" ~ daily_window()[of] ~ "'" if as_of else 'true' }}
{%- endmacro %}
