{#
    Stops a load with a fault that nobody accepted, or with a currency that has no rate, with one
    sentence: a pre-hook of int_logs, of which everything else is downstream, so that the last good
    marts and all state stay as they are.
#}
{% macro refuse_load() %}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    with faults as (

        select
            currency_fault,
            fault,
            count(*) over (partition by 1) as months
        from {{ ref('int_loads__checked') }}
        where
            currency_fault is not null
            {%- if not var('clv_accept_load') %}
            or fault is not null
            {%- endif %}
        qualify row_number() over (
            partition by 1
            order by
                case when currency_fault is null then 1 else 0 end,
                transaction_month,
                currency
        ) = 1

    )

    select *
    from faults
    where
        case
            when currency_fault is not null
                then {{ raise_error("concat('clv: ', currency_fault, '.')") }}
            when fault is not null
                then {{ raise_error(
                    "concat('clv: ', fault, '; in all ', cast(months as " ~ type_text() ~ "), "
                    ~ "' months are at fault (column fault of int_loads__checked). Load it again, or "
                    ~ "accept it as it is with var clv_accept_load: true.')"
                ) }}
            else false
        end
{% endmacro %}
