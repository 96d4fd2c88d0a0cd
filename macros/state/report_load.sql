{#
    Logs in one line the notices of a first load, faults for which a later one would be stopped: column
    notice of int_loads__checked. A post-hook of int_as_of, like accept_load.
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
                'clv: ' ~ row[0] ~ '; in all ' ~ row[1] ~ ' months of this first load have such '
                ~ 'notices (column notice of int_loads__checked). No load was accepted before, so it '
                ~ 'is accepted.', info=true
            ) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
