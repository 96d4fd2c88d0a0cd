{#
    Says in one line what a first load brings that a later one would be stopped for: column notice of
    int_loads__checked. A post-hook of int_as_of, as accept_load.
#}
{% macro report_load() %}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    {%- if execute -%}
        {%- set notices -%}
            select
                notice,
                count(*) over (partition by 1) as months
            from {{ ref('int_loads__checked') }}
            where notice is not null
            qualify row_number() over (
                partition by 1
                order by transaction_month, currency
            ) = 1
        {%- endset -%}
        {%- for row in run_query(notices).rows -%}
            {%- do log(
                'clv: ' ~ row[0] ~ '; in all ' ~ row[1] ~ ' months of this first load change like '
                ~ 'that (column notice of int_loads__checked). Nothing was accepted before, so that '
                ~ 'it is taken as it is.', info=true
            ) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
