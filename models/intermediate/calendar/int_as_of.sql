-- grain: one row per project: the date that every number is as of, and the currency it is in
-- A load with a fault is refused before this model is built, and so before everything downstream.
-- depends_on: {{ ref('int_logs__chosen') }}
select
    {%- if var('clv_as_of_date') is none %}
    {{
        month_end('max(last_transaction_date)') if is_monthly()
        else 'max(last_transaction_date)'
    }} as as_of_date,
    {%- else %}
    cast('{{ var("clv_as_of_date") }}' as date) as as_of_date,
    {%- endif %}
    min(first_transaction_date) as first_transaction_date,
    {%- if var('clv_currency') is none %}
    -- The log's currency; null where the log names none. Several currencies stop the run.
    nullif(max(currency), '') as currency
    {%- else %}
    '{{ var("clv_currency") }}' as currency
    {%- endif %}
from {{ ref('int_loads__checked') }}
