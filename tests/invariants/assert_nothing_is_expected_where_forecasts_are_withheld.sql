-- Where the log does not suffice for a forecast, the status of every customer says so (that their forecasts are
-- null then: assert_predictions_are_ordered), and no total has one; but contracts do not wait for it.
with readiness as (

    select distinct is_forecast
    from {{ ref('int_readiness') }}
    where is_production

)

select
    'customer_lifetime_value' as mart,
    count(*) as faults
from {{ ref('customer_lifetime_value') }} as customers
cross join readiness
where
    readiness.is_forecast
    != (customers.forecast_status in ('ready', 'unchecked'))
    or readiness.is_forecast and customers.clv_source = 'withheld'
    or not readiness.is_forecast
    and customers.clv_source not in ('withheld', 'contract')
having count(*) > 0

union all

select
    'segment_summary' as mart,
    count(*) as faults
from {{ ref('segment_summary') }} as segments
cross join readiness
where
    not readiness.is_forecast
    and coalesce(segments.clv_365d, segments.expected_purchases_365d) is not null
    and not exists (
        select contracts.customer_id
        from {{ ref('customer_lifetime_value') }} as contracts
        where contracts.clv_source = 'contract'
    )
having count(*) > 0

{%- for mart in ['customer_equity', 'cohort_clv'] %}

union all

select
    '{{ mart }}' as mart,
    count(*) as faults
from {{ ref(mart) }} as expected
inner join {{ ref('int_cutoffs') }} as cutoffs
    on expected.cutoff_date = cutoffs.cutoff_date
cross join readiness
where cutoffs.is_production and not readiness.is_forecast
having count(*) > 0
{%- endfor %}
