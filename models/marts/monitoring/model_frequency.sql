-- grain: one row per cutoff of a fit and number of repeat purchase days, 7 or more together
-- Actual frequencies of the customers known at the cutoff, and those that the parameters expect of
-- customers of the same age, in season-warped time if the spec has a season.
{%- set most = 7 %}
with customers as (

    select
        cutoff_date,
        stratum,
        first_purchase_date,
        age_days,
        case when frequency < {{ most }} then frequency else {{ most }} end
            as frequency
    from {{ ref('int_histories__observed') }}
    where is_on_plan is not true

),

observed as (

    select
        cutoff_date,
        frequency,
        count(*) as customers
    from customers
    group by 1, 2

),

ages as (

    select
        customers.cutoff_date,
        customers.stratum,
        coalesce(
            cast(round(season.time_ago) as {{ type_integer() }}), customers.age_days
        ) as age_days,
        count(*) as customers
    from customers
    left join {{ ref('int_season') }} as season
        on
            customers.cutoff_date = season.cutoff_date
            and customers.first_purchase_date = season.calendar_date
            and season.is_current_spec
    group by 1, 2, 3

),

expected as (

    select
        ages.cutoff_date,
        {%- for times in range(1, most + 1) %}
        sum(ages.customers * curve.at_least_{{ times }}) as reached_{{ times }},
        {%- endfor %}
        sum(ages.customers) as reached_0
    from ages
    inner join {{ ref('int_tracking_curve') }} as curve
        on
            ages.cutoff_date = curve.cutoff_date
            and ages.stratum = curve.stratum
            and ages.age_days = curve.day
    group by 1

),

frequencies as (

    {%- for times in range(most + 1) %}
    select
        cutoff_date,
        {{ times }} as frequency,
        reached_{{ times }} - {{ 'reached_' ~ (times + 1) if not loop.last else 0 }}
            as expected_customers
    from expected
    {{- '\n\n    union all\n' if not loop.last }}
    {%- endfor %}

)

select
    frequencies.cutoff_date,
    cast(frequencies.frequency as {{ type_integer() }}) as frequency,
    frequencies.frequency = {{ most }} as is_or_more,
    coalesce(observed.customers, 0) as customers,
    frequencies.expected_customers
from frequencies
left join observed
    on
        frequencies.cutoff_date = observed.cutoff_date
        and frequencies.frequency = observed.frequency
