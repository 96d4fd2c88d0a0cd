-- Wider ranges contain narrower ones, and no range is narrower than the raw one. Where nothing is forecast
-- there is no bound.
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
    or (
        expected_value is null
        and coalesce(lower_95_raw, lower_95, lower_80, upper_80, upper_95) is not null
    )
{{ 'union all' if not loop.last }}
{%- endfor %}
