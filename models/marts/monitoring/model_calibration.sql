-- grain: one row per cutoff, completed horizon and decile of the predicted probability, and for all
{%- set sums = [
    'customers', 'buyers', 'probability', 'squared_error', 'expected_purchases',
    'actual_purchases', 'expected_value', 'actual_value',
] %}
with histograms as (

    select *
    from {{ ref('int_calibration__histograms') }}

),

ranked as (

    select
        *,
        sum(customers) over (
            partition by cutoff_date, horizon_days
            order by probability_bin
            rows between unbounded preceding and current row
        ) - customers as customers_below,
        sum(customers) over (partition by cutoff_date, horizon_days) as all_customers
    from histograms

),

deciles as (

    select
        cutoff_date,
        horizon_days,
        cast(1 + floor(10.0 * customers_below / all_customers) as {{ type_integer() }})
            as decile,
        {%- for each in sums %}
        sum({{ each }}) as {{ each }},
        {%- endfor %}
        abs(sum(probability) - sum(buyers)) / sum(customers) as calibration_error,
        abs(sum(probability) - sum(buyers)) / sum(customers)
            as largest_calibration_error
    from ranked
    group by 1, 2, 3

),

everyone as (

    select
        cutoff_date,
        horizon_days,
        cast(0 as {{ type_integer() }}) as decile,
        {%- for each in sums %}
        sum({{ each }}) as {{ each }},
        {%- endfor %}
        sum(abs(probability - buyers)) / sum(customers) as calibration_error,
        max(abs(probability - buyers) / customers) as largest_calibration_error
    from deciles
    group by 1, 2, 3

),

united as (

    select *
    from deciles

    union all

    select *
    from everyone

)

select
    cutoff_date,
    horizon_days,
    decile,
    cast(customers as {{ type_integer() }}) as customers,
    probability / customers as mean_probability,
    1.0 * buyers / customers as observed_rate,
    calibration_error,
    largest_calibration_error,
    squared_error / customers as brier_score,
    -- Against the base rate as forecast for every customer; null if its Brier score is 0. Rounded,
    -- because near zero skill the difference is mostly rounding error.
    round(
        1 - (squared_error / customers)
        / nullif((1.0 * buyers / customers) * (1 - 1.0 * buyers / customers), 0), 9
    ) as brier_skill,
    expected_purchases,
    cast(actual_purchases as {{ type_integer() }}) as actual_purchases,
    expected_value,
    actual_value
from united
