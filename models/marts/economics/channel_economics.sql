-- grain: one row per acquisition channel and month, of spend and of first purchase
-- Empty without spend. A customer's channel is their acquisition source, else that of their first
-- transaction.
{%- set days = [0, 30, 90, 180, 365] %}
{%- set k = 100 %}
{%- set ratios = shaped('clv_channel_ratios') %}
with spend as (

    select
        channel,
        cohort_month,
        sum(spend_amount) as acquisition_spend,
        sum(new_customers) as reported_customers
    from {{ ref('int_ad_spend__resolved') }}
    where disposition = 'counted'
    group by 1, 2

),

spend_input as (

    select count(*) as channel_months
    from spend

),

readiness as (

    select distinct is_forecast
    from {{ ref('int_readiness') }}
    where is_production

),

customers as (

    select
        first_year.*,
        readiness.is_forecast
    from {{ ref('int_customers__first_year') }} as first_year
    cross join spend_input
    cross join readiness
    where spend_input.channel_months > 0

),

as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

errors as (

    select shared.*
    from {{ ref('int_shared_errors') }} as shared
    inner join as_of
        on shared.cutoff_date = as_of.as_of_date
    where shared.group_level = 'cohort' and shared.horizon_days = 365

),

-- The variance of one customer: between the expectations of customers, plus the mean variance within.
cohorts as (

    select
        channel,
        cohort_month,
        count(*) as new_customers,
        {%- for day in days %}
        -- With forecasts withheld, only for cohorts of which every customer has actual value for these days.
        case
            when
                max(case when is_forecast then 1 else 0 end) = 1
                or count(value_{{ day }}d) = count(*)
                then avg(value_{{ day }}d)
        end as value_{{ day }}d,
        {%- endfor %}
        count(value_365d) as scored_customers,
        sum(expected_value) as expected_value,
        sum(value_variance) as value_variance,
        coalesce(var_samp(value_365d), 0) + avg(value_variance) as customer_variance
    from customers
    group by 1, 2

),

everyone as (

    select
        avg(value_365d) as value_365d,
        coalesce(var_samp(value_365d), 0) + avg(value_variance) as customer_variance
    from customers

),

joined as (

    select
        coalesce(spend.channel, cohorts.channel) as channel,
        coalesce(spend.cohort_month, cohorts.cohort_month) as cohort_month,
        coalesce(spend.acquisition_spend, 0) as acquisition_spend,
        spend.reported_customers,
        coalesce(cohorts.new_customers, 0) as new_customers,
        {%- for day in days %}
        cohorts.value_{{ day }}d,
        {%- endfor %}
        cohorts.scored_customers,
        cohorts.expected_value,
        cohorts.value_variance,
        cohorts.customer_variance
    from spend
    full outer join cohorts
        on
            spend.channel = cohorts.channel
            and spend.cohort_month = cohorts.cohort_month

),

judged as (

    select
        joined.*,
        cast(joined.acquisition_spend as {{ type_double() }})
        / nullif(joined.new_customers, 0)
        / case when joined.acquisition_spend > 0 then 1 end as cost,
        -- Spend without new customers returns 0.
        case when joined.new_customers = 0 then 0.0 else joined.value_365d end
        * joined.new_customers
        / case
            when joined.acquisition_spend > 0
                then cast(joined.acquisition_spend as {{ type_double() }})
        end as clv_to_cac,
        -- Mean shrunk towards the overall mean with the weight of {{ k }} customers; the lower end of its
        -- one-sided 95 % interval.
        (
            case
                when joined.new_customers = 0 then 0.0
                else joined.new_customers * joined.value_365d
            end
            + {{ k }} * everyone.value_365d
            - 1.645 * sqrt(
                joined.new_customers * coalesce(joined.customer_variance, 0)
                + {{ k }} * everyone.customer_variance
            )
        ) / (joined.new_customers + {{ k }}) as prudent_value
    from joined
    cross join everyone

),

bounded as (

    select
        judged.channel,
        judged.cohort_month,
        {{- group_bounds('judged', 'errors') }}
        errors.interval_source
    from judged
    inner join errors
        on judged.expected_value is not null

)

select
    judged.channel,
    judged.cohort_month,
    {{ as_money('judged.acquisition_spend') }} as acquisition_spend,
    judged.new_customers,
    cast(judged.reported_customers as {{ type_integer() }}) as reported_customers,
    {{ as_money('judged.cost') }} as customer_acquisition_cost,
    {{ as_money('judged.value_0d') }} as first_purchase_value,
    {{ as_money('judged.value_365d') }} as predicted_clv,
    {%- for level, bound in {'p10': 'lower_80', 'p90': 'upper_80'}.items() %}
    -- In cents: warehouses may round further digits of a bound differently.
    {{ as_money(
        'round(judged.value_365d + (bounded.' ~ bound ~ ' - judged.expected_value)'
        ~ ' / nullif(judged.scored_customers, 0), 2)'
    ) }} as predicted_clv_{{ level }},
    {%- endfor %}
    judged.expected_value / nullif(judged.scored_customers * judged.value_365d, 0)
        as share_expected,
    bounded.interval_source,
    judged.clv_to_cac,
    case
        when judged.clv_to_cac is null then 'unknown'
        when judged.clv_to_cac >= {{ ratios.green }} then 'green'
        when judged.clv_to_cac >= {{ ratios.amber }} then 'amber'
        else 'red'
    end as status,
    cast(
        case
            when judged.cost <= judged.value_0d then 0
            {%- for day in days[1:] %}
            {%- set before = days[loop.index0] %}
            when judged.cost <= judged.value_{{ day }}d
                then ceil(
                    round(
                        {{ before }} + {{ day - before }}
                        * (judged.cost - judged.value_{{ before }}d)
                        / (judged.value_{{ day }}d - judged.value_{{ before }}d), 6
                    )
                )
            {%- endfor %}
        end as {{ type_integer() }}
    ) as payback_days,
    {{ as_money(
        'case when judged.prudent_value < 0 then 0 else judged.prudent_value end / '
        ~ ratios.green
    ) }} as cac_cap,
    {{ add_months('judged.cohort_month', 1) }} > {{ add_days('as_of.as_of_date', 1) }}
        as is_truncated,
    as_of.as_of_date
from judged
cross join as_of
left join bounded
    on
        judged.channel = bounded.channel
        and judged.cohort_month = bounded.cohort_month
