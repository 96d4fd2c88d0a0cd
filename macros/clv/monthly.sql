{#
    A monthly log (var clv_period: month): a purchase is a month with activity, its days are not known, and
    the 15th stands for it. As-of date and cutoffs are ends of months. Then from a cutoff to so many days
    after it (30, 90, 180, 365) there are as many 15ths as whole months (1, 3, 6, 12), whatever the month,
    and what compares days is right for months.
#}
{% macro is_monthly() %}
    {{- return(var('clv_period') == 'month') -}}
{% endmacro %}

{# Days of a month, on average. #}
{% macro month_days() %}
    {{- return(30.4375) -}}
{% endmacro %}

{# The instant at which the 15th of the month of an instant begins. #}
{% macro middle_of_month(instant) -%}
    {{ local_start(add_days(month_start(local_date(instant)), 14)) }}
{%- endmacro %}

{# The last day of the month of a date. #}
{% macro month_end(date_expression) -%}
    {{ add_days(add_months(month_start(date_expression), 1), -1) }}
{%- endmacro %}

{# Whole months from the 15th of one to the 15th of another, by the days between. #}
{% macro months_recent(days) -%}
    cast(round({{ days }} / {{ month_days() }}) as {{ type_integer() }})
{%- endmacro %}

{# Whole months from the 15th of one to the end of another: half a month is left over. #}
{% macro months_old(days) -%}
    cast(floor({{ days }} / {{ month_days() }}) as {{ type_integer() }})
{%- endmacro %}

{# Whole months that a number of days ahead stands for. #}
{% macro months_ahead(days) %}
    {{- return((days / month_days()) | round | int) -}}
{% endmacro %}

{# The month ahead, from 1, in which a wait of so many days ends: months end at the horizons. #}
{% macro month_of_wait(days, horizons) -%}
    cast(
        case
            {%- for horizon in horizons %}
            {%- set start = 0 if loop.first else horizons[loop.index0 - 1] %}
            {%- set months = months_ahead(horizon) - months_ahead(start) %}
            when {{ days }} <= {{ horizon }}
                then
                    {{ months_ahead(start) }} + ceil(
                        {{ months }} * ({{ days }} - {{ start }}) / {{ horizon - start }}.0
                    )
            {%- endfor %}
        end as {{ type_integer() }}
    )
{%- endmacro %}
