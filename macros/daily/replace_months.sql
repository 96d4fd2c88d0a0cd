{#
    Config of a table whose months a daily run replaces, from the month that starts on `first_day`
    to that of the as-of date; a full run replaces all of it. After an upgrade that changes its columns
    a daily run fails here, because the months it does not replace would lack them.
    Use: config(**replace_months('transaction_date', daily_window().lines_from))
#}
{% macro replace_months(column, first_day) %}
    {%- set settings = {
        'materialized': 'incremental',
        'on_schema_change': 'fail',
        'full_refresh': not is_daily(),
    } -%}
    {%- if is_daily() -%}
        {%- set months = [] -%}
        {%- set until = daily_window().until -%}
        {#- At most a century: Jinja has no while. -#}
        {%- for number in range(1200) -%}
            {%- set month = modules.datetime.date(
                first_day.year + (first_day.month - 1 + number) // 12,
                (first_day.month - 1 + number) % 12 + 1,
                1
            ) -%}
            {%- if month < until -%}
                {%- do months.append("date '" ~ month ~ "'") -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do settings.update(
            adapter.dispatch('replace_months_strategy', 'clv')(column, months)
        ) -%}
    {%- endif -%}
    {%- do return(settings) -%}
{% endmacro %}
