{#
    A query for the distinct rows of `relation` and the number of each (`copies`). `columns` maps
    the names of the result to expressions over the relation; `condition` says which rows count.
    count_copies(ref('t'), {'a': 'a', 'b': 'upper(b)'}) -> a, b, copies

    Grouping many wide rows is most of the work, and nearly all are unique. DuckDB therefore counts
    hashes first and groups by value only the rows whose hash occurs more than once. BigQuery, which
    would read the relation once for each step, groups all.
#}
{% macro count_copies(relation, columns, condition='true') -%}
    {{ return(adapter.dispatch('count_copies', 'clv')(relation, columns, condition)) }}
{%- endmacro %}

{% macro default__count_copies(relation, columns, condition) -%}
    {%- set selected = [] -%}
    {%- for name, expression in columns.items() -%}
        {%- do selected.append(expression ~ ' as ' ~ name) -%}
    {%- endfor -%}
    {%- set row_hash = 'hash(' ~ columns.values() | join(', ') ~ ')' -%}
    with repeated as (
        select {{ row_hash }} as row_hash
        from {{ relation }}
        where {{ condition }}
        group by 1
        having count(*) > 1
    )

    select
        {{ selected | join(',\n        ') }},
        1 as copies
    from {{ relation }}
    left join repeated
        on {{ row_hash }} = repeated.row_hash
    where {{ condition }} and repeated.row_hash is null

    union all

    select
        {{ selected | join(',\n        ') }},
        count(*) as copies
    from {{ relation }}
    inner join repeated
        on {{ row_hash }} = repeated.row_hash
    where {{ condition }}
    group by {{ range(1, columns | length + 1) | join(', ') }}
{%- endmacro %}

{% macro bigquery__count_copies(relation, columns, condition) -%}
    select
        {%- for name, expression in columns.items() %}
        {{ expression }} as {{ name }},
        {%- endfor %}
        count(*) as copies
    from {{ relation }}
    where {{ condition }}
    group by {{ range(1, columns | length + 1) | join(', ') }}
{%- endmacro %}
