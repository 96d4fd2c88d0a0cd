-- grain: one row per cutoff: the quintile bounds of customers by expected value a day
-- Read off a histogram, 1 % wide, so that no worker sorts customers.
with alive as (

    select *
    from {{ ref('int_predictions__alive') }}
    where not is_challenger and is_on_plan is not true

),

histogram as (

    select
        cutoff_date,
        floor(100 * ln(greatest({{ value_a_day() }}, 1e-12))) as value_bin,
        count(*) as customers
    from alive
    group by 1, 2

),

ranked as (

    select
        cutoff_date,
        exp((value_bin + 1) / 100) as bin_end,
        sum(customers) over (
            partition by cutoff_date
            order by value_bin
            rows between unbounded preceding and current row
        ) / cast(
            sum(customers) over (partition by cutoff_date) as {{ type_double() }}
        ) as share
    from histogram

)

select
    {%- for fifth in range(1, 5) %}
    min(case when 5 * share >= {{ fifth }} then bin_end end) as bound_{{ fifth }},
    {%- endfor %}
    cutoff_date
from ranked
group by 5
