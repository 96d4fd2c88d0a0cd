{#
    The sum of a term over constant rows. `columns` are the names of their values; the term is the body of
    a call block, which takes the values or, where the warehouse computes the sum, their names. On
    BigQuery the term is in the statement once, because columns are inlined wherever they are used.
    {% call(one, other) sum_of(['one', 'other'], [(1, 2), (3, 4)]) %}{{ one }} * {{ other }}{% endcall %} -> 14
#}
{% macro sum_of(columns, rows) -%}
    {{ return(adapter.dispatch('sum_of', 'clv')(columns, rows, caller)) }}
{%- endmacro %}

{% macro default__sum_of(columns, rows, term) -%}
    (
        {%- for row in rows %}
        {{ '+ ' if not loop.first }}{{ term(*row) }}
        {%- endfor %}
    )
{%- endmacro %}

{% macro bigquery__sum_of(columns, rows, term) -%}
    (
        select sum({{ term(*columns) }})
        from unnest(array<struct<{{ columns | join(' float64, ') }} float64>>[
            {%- for row in rows %}
            ({{ row | join(', ') }}){{ ',' if not loop.last }}
            {%- endfor %}
        ])
    )
{%- endmacro %}
