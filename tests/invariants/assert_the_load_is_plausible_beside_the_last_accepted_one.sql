-- A bad load stops here, before anything is built from it, with a sentence; the last good marts stay.
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
        when fault is not null and not {{ var('clv_accept_load') | lower }}
            then {{ raise_error(
                "concat('clv: ', fault, '; in all ', cast(months as " ~ type_text() ~ "), "
                ~ "' months are at fault (column fault of int_loads__checked). Load it again, or "
                ~ "accept it as it is with var clv_accept_load: true.')"
            ) }}
        else false
    end
