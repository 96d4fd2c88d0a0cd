{#
    Days ahead at which int_expectations__waits tabulates the wait for the next purchase: 0, each of the first
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

{#
    The day at which an array that rises over wait_days() reaches `value`, linear between two days: the sum of
    the steps from day to day, each as far as it has passed. `value` is written once on BigQuery.
#}
{% macro days_passed(array, value) -%}
    {%- set steps = [] -%}
    {%- for day in wait_days()[:-1] -%}
        {%- do steps.append((loop.index0, wait_days()[loop.index] - day)) -%}
    {%- endfor -%}
    {% call(place, width) sum_of(['place', 'width'], steps) -%}
        {%- set before = array_at(array, 'cast(' ~ place ~ ' as ' ~ type_integer() ~ ')') -%}
        {%- set after = array_at(array, 'cast(' ~ place ~ ' as ' ~ type_integer() ~ ') + 1') -%}
        {{ width }} * least(
            1.0,
            greatest(
                0.0, ({{ value }} - {{ before }}) / greatest({{ after }} - {{ before }}, 1e-12)
            )
        )
    {%- endcall %}
{%- endmacro %}
