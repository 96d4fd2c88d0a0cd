{#
    Days ahead at which int_outlook__waits tabulates the wait for the next purchase: 0, each of the first
    days, then further apart, and every horizon.
    wait_days() -> [0, 1, 2, ... 9, 11, 13, ... 299, 353, 365]
#}
{% macro wait_days() %}
    {%- set horizons = shaped('clv_horizons') -%}
    {%- set days = [0] -%}
    {%- for step in range(200) -%}
        {%- set next = [days[-1] + 1, (days[-1] * 1.18) | round | int] | max -%}
        {%- if next < horizons | max -%}{%- do days.append(next) -%}{%- endif -%}
    {%- endfor -%}
    {%- do return((days + horizons) | unique | sort) -%}
{% endmacro %}

{#
    P(the first purchase lies between two times ahead, and the customer is still there), Pareto/NBD, given
    alive: a Gauss-Legendre sum. `shape` = r + x, start_time = alpha + T, leaving_start_time = beta + T.
#}
{% macro chance_while_there(since, until) -%}
    ({{ until }} - {{ since }}) * {% call(node, weight) sum_of(['node', 'weight'], legendre_nodes()) -%}
        {%- set time = '(' ~ since ~ ' + ' ~ node ~ ' * (' ~ until ~ ' - ' ~ since ~ '))' -%}
        {{ weight }} * shape / (start_time + {{ time }}) * exp(
            shape * ln(start_time / (start_time + {{ time }}))
            + s * ln(leaving_start_time / (leaving_start_time + {{ time }}))
        )
    {%- endcall %}
{%- endmacro %}
