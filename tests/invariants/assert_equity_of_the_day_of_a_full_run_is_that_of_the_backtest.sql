-- As of the day of a full run both marts sum the served scores, at every horizon for which forecasts
-- are not withheld. They are equal, ranges included, unless an overlay serves, whose corrections
-- customer_equity does not include, or a daily run has scored the same day again. The equity of the day is
-- the sum of what customer_lifetime_value says of those who have bought.
with forecasts as (

    select
        cutoff_date,
        horizon_days
    from {{ ref('int_readiness') }}
    where is_production and is_forecast

),

buyers as (

    select count(*) as customers
    from {{ ref('int_customers__current') }}

),

equity as (

    select *
    from {{ ref('customer_equity') }}
    where is_production

),

listed as (

    select
        {%- for horizon in [30, 90, 180, 365] %}
        sum(clv_{{ horizon }}d) as clv_{{ horizon }}d,
        {%- endfor %}
        as_of_date
    from {{ ref('customer_lifetime_value') }}
    where first_purchase_date is not null
    group by 5

)

select
    forecasts.cutoff_date,
    forecasts.horizon_days,
    daily.clv,
    equity.clv as expected_clv
from forecasts
cross join buyers
left join listed
    on forecasts.cutoff_date = listed.as_of_date
left join equity
    on
        forecasts.cutoff_date = equity.cutoff_date
        and forecasts.horizon_days = equity.horizon_days
left join {{ ref('customer_equity_daily') }} as daily
    on
        forecasts.cutoff_date = daily.as_of_date
        and forecasts.horizon_days = daily.horizon_days
where
    equity.cutoff_date is null
    or daily.as_of_date is null
    or equity.customers != buyers.customers
    {%- for horizon in [30, 90, 180, 365] %}
    or (
        forecasts.horizon_days = {{ horizon }}
        and abs(daily.clv - listed.clv_{{ horizon }}d) > 1e-9 * daily.clv
    )
    {%- endfor %}
    or (
        daily.run_kind = 'full'
        and (
            daily.customers != equity.customers
            or daily.shared_error != equity.shared_error
            or abs(daily.expected_purchases - equity.expected_purchases)
            > 1e-9 * equity.expected_purchases
            {%- if not var('clv_overlay') %}
            {%- for column in ['clv', 'expected_value', 'lower_95', 'upper_95'] %}
            or abs(daily.{{ column }} - equity.{{ column }})
            > 1e-9 * equity.{{ column }}
            {%- endfor %}
            {%- endif %}
        )
    )
