-- grain: one row per customer, buyer or not
-- Beyond a year: customer_lifetime_value continued (int_predictions__lifetime). No window that long has
-- been completed: lifetime_status says so. Customers on a plan: by their contract (int_contracts__scored).
{%- set levels = ['', '_p10', '_p50', '_p90'] %}
{%- set spans = ['1095d', 'lifetime'] %}
with customers as (

    select
        customer_id,
        as_of_date,
        expected_purchases_365d,
        {%- for level in levels %}
        clv_365d{{ level }},
        {%- endfor %}
        clv_source,
        model_version,
        is_suppressed
    from {{ ref('customer_lifetime_value') }}

),

bought as (

    select
        customer_id,
        value_amount
    from {{ ref('int_customers__current') }}

),

-- The longest horizon with a completed backtest window.
checked as (

    select max(case when completed_windows > 0 then horizon_days end) as horizon_days
    from {{ ref('int_readiness') }}
    where is_production and is_forecast

),

continued as (

    select
        {%- if var('clv_value') == 'none' %}
        cast(null as {{ type_money() }}) as value_to_date_amount,
        {%- else %}
        {{ as_money('coalesce(bought.value_amount, 0)') }} as value_to_date_amount,
        {%- endif %}
        checked.horizon_days as checked_horizon_days,
        lives.customer_id is not null as is_continued,
        {%- for span in spans %}
        coalesce(
            contracts.expected_renewals_{{ span }}, lives.expected_purchases_{{ span }}
        ) as expected_purchases_{{ span }},
        -- The overlay's difference stays the same in later years; quantiles are scaled with the mean.
        coalesce(
            contracts.clv_{{ span }},
            lives.clv_{{ span }} + customers.clv_365d - lives.clv_365d
        ) as clv_{{ span }},
        {%- for level in levels[1:] %}
        coalesce(
            contracts.clv_{{ span }}{{ level }},
            lives.clv_{{ span }}{{ level }} * coalesce(
                1 + (customers.clv_365d - lives.clv_365d)
                / nullif(lives.clv_{{ span }}, 0), 1.0
            )
        ) as clv_{{ span }}{{ level }},
        {%- endfor %}
        {%- endfor %}
        customers.*
    from customers
    cross join checked
    left join bought
        on customers.customer_id = bought.customer_id
    left join {{ ref('int_predictions__lifetime') }} as lives
        on
            customers.customer_id = lives.customer_id
            and customers.model_version = lives.model_version
    left join {{ ref('int_contracts__scored') }} as contracts
        on
            customers.customer_id = contracts.customer_id
            and customers.clv_source = 'contract'

),

judged as (

    select
        *,
        case
            when clv_source in ('withheld', 'refunds_only', 'unscored') then clv_source
            when is_suppressed then 'suppressed'
            -- As for horizons that no earlier prospect was observed over.
            when clv_source = 'cohort_prior' then 'lower_bound'
            when clv_source = 'contract' then 'unchecked'
            when not is_continued then 'unscored'
            when checked_horizon_days is null then 'unchecked'
            else 'extrapolated'
        end as lifetime_status
    from continued

),

-- A quantile is at least that of a shorter horizon: more time adds value only.
ordered as (

    select
        customer_id,
        as_of_date,
        value_to_date_amount,
        {%- for measure in ['expected_purchases_%s', 'clv_%s'] %}
        {%- for span in spans %}
        {%- for level in (levels if measure == 'clv_%s' else ['']) %}
        {%- set year = measure % '365d' ~ level %}
        case
            when lifetime_status in ('withheld', 'refunds_only', 'unscored') then null
            when lifetime_status = 'suppressed' then 0.0 * {{ year }}
            when lifetime_status = 'lower_bound' then {{ year }}
            when {{ year }} is not null
                then greatest(
                    {{ year }}, {{ measure % '1095d' ~ level }}
                    {{- ', ' ~ measure % 'lifetime' ~ level if span == 'lifetime' }}
                )
        end as {{ measure % span }}{{ level }},
        {%- endfor %}
        {%- endfor %}
        {%- endfor %}
        lifetime_status,
        case
            when lifetime_status = 'extrapolated' then checked_horizon_days
        end as checked_horizon_days,
        model_version
    from judged

)

select
    customer_id,
    as_of_date,
    value_to_date_amount,
    {%- for span in spans %}
    expected_purchases_{{ span }},
    {%- for level in levels %}
    clv_{{ span }}{{ level }},
    {%- endfor %}
    {%- endfor %}
    {%- for level in levels %}
    {%- set rest, total = 'clv_lifetime' ~ level, 'clv_total' ~ level %}
    cast(value_to_date_amount as {{ type_double() }}) + {{ rest }} as {{ total }},
    {%- endfor %}
    lifetime_status,
    cast(checked_horizon_days as {{ type_integer() }}) as checked_horizon_days,
    model_version
from ordered
