-- grain: one row per disposition and currency of delivered acquisition spend
select
    disposition,
    currency,
    disposition = 'counted' as is_counted,
    cast(sum(row_count) as {{ type_integer() }}) as row_count,
    {{ as_money('coalesce(sum(delivered_amount), 0)') }} as delivered_amount,
    {{ as_money('coalesce(sum(spend_amount), 0)') }} as spend_amount
from {{ ref('int_ad_spend__resolved') }}
group by 1, 2
