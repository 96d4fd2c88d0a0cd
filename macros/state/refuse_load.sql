{#
    Stops a load with a fault that nobody accepted, with one sentence: a pre-hook of int_logs, of which
    everything else is downstream, so that the last good marts and all state stay as they are.
#}
{% macro refuse_load() %}
    {%- if var('clv_accept_load') -%}
    select 1
    {%- else -%}
    with faults as (

        select
            fault,
            count(*) over (partition by 1) as months
        from {{ ref('int_loads__checked') }}
        where fault is not null
        qualify row_number() over (
            partition by 1
            order by transaction_month, currency
        ) = 1

    )

    select *
    from faults
    where
        case
            when fault is not null
                then {{ raise_error(
                    "concat('clv: ', fault, '; in all ', cast(months as " ~ type_text() ~ "), "
                    ~ "' months are at fault (column fault of int_loads__checked). Load it again, or "
                    ~ "accept it as it is with var clv_accept_load: true.')"
                ) }}
            else false
        end
    {%- endif -%}
{% endmacro %}
