-- Histories end at their cutoff, transactions at the as-of date. Reads the whole log.
{{ config(tags=['full_run']) }}
select
    'int_histories__observed' as relation,
    last_purchase_date as late_date,
    cutoff_date
from {{ ref('int_histories__observed') }}
where last_purchase_date > cutoff_date

union all

select
    'transactions' as relation,
    transactions.transaction_date as late_date,
    as_of.as_of_date as cutoff_date
from {{ ref('transactions') }} as transactions
cross join {{ ref('int_as_of') }} as as_of
where transactions.transaction_date > as_of.as_of_date
