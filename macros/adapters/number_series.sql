{#
    A relation with one column, `number`: the whole numbers from 0 to `last`, a literal or a
    scalar subquery. Use it after `from`.
    select number from {{ number_series(3) }} as numbers -> 0, 1, 2, 3
#}
{% macro number_series(last) -%}
    {{ return(adapter.dispatch('number_series', 'clv')(last)) }}
{%- endmacro %}

{% macro default__number_series(last) -%}
    (select unnest(generate_series(0, {{ last }})) as number)
{%- endmacro %}

{% macro bigquery__number_series(last) -%}
    (select number from unnest(generate_array(0, {{ last }})) as number)
{%- endmacro %}
