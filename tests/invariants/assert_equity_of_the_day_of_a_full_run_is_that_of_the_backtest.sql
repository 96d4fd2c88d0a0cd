-- As of the day of a full run both marts sum the scores that serve. So they say the same, ranges
-- included, unless an overlay serves, whose corrections customer_equity does not follow, or a daily
-- run has scored the same day again.
select
    daily.as_of_date,
    daily.horizon_days,
    daily.clv,
    equity.clv as expected_clv
from {{ ref('customer_equity') }} as equity
left join {{ ref('customer_equity_daily') }} as daily
    on
        equity.cutoff_date = daily.as_of_date
        and equity.horizon_days = daily.horizon_days
where
    equity.is_production
    and coalesce(daily.run_kind, 'full') = 'full'
    and (
        daily.as_of_date is null
        or daily.customers != equity.customers
        or daily.shared_error != equity.shared_error
        or abs(daily.expected_purchases - equity.expected_purchases)
        > 1e-9 * equity.expected_purchases
        {%- if not var('clv_overlay') %}
        {%- for column in ['clv', 'expected_value', 'lower_95', 'upper_95'] %}
        or abs(daily.{{ column }} - equity.{{ column }}) > 1e-9 * equity.{{ column }}
        {%- endfor %}
        {%- endif %}
    )
