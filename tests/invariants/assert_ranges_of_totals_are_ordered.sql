-- Wider ranges contain narrower ones, and no range is narrower than the raw one.
{%- for mart, day in {
    'customer_equity': 'cutoff_date', 'customer_equity_daily': 'as_of_date',
    'cohort_clv': 'cutoff_date',
}.items() %}
select
    '{{ mart }}' as mart,
    {{ day }} as cutoff_date,
    horizon_days
from {{ ref(mart) }}
where
    lower_95 > lower_80
    or lower_80 > expected_value
    or expected_value > upper_80
    or upper_80 > upper_95
    or lower_95 > lower_95_raw
    or upper_95 < upper_95_raw
{{ 'union all' if not loop.last }}
{%- endfor %}
