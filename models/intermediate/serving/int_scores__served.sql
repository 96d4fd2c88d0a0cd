-- grain: one row per customer with a score: the score of the version that serves them
-- The canary serves a stable share of customers, the champion the others. Where the overlay won, values
-- are multiplied by its factor of the last full run. No scores where the log does not suffice for a
-- forecast (int_readiness), even if a version still has some; but those of contracts, which are also served
-- in place of every version's.
{%- set horizons = shaped('clv_horizons') %}
with serving as (

    select *
    from {{ ref('int_serving') }}

),

readiness as (

    select distinct is_forecast
    from {{ ref('int_readiness') }}
    where is_production

),

champion as (

    select serving.model_version
    from serving
    cross join readiness
    where serving.status = 'champion' and readiness.is_forecast

),

-- Without a canary its share is 0.
canary as (

    select
        max(model_version) as model_version,
        coalesce(max(share), 0) as share
    from serving
    where status = 'canary'

),

served as (

    -- The columns are those of int_predictions__scored.
    select scores.* -- noqa: AM04
    from {{ ref('int_predictions__scored') }} as scores
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on scores.cutoff_date = cutoffs.cutoff_date and cutoffs.is_production
    cross join champion
    cross join canary
    where
        {{ at_as_of('scores.cutoff_date') }}
        and scores.model_version
        = case
            when
                canary.share > 0
                and {{ hash_bucket('scores.customer_id', 1000) }} < 1000 * canary.share
                then canary.model_version
            else champion.model_version
        end

)
{%- if var('clv_overlay') %},

factors as (

    select
        {%- for horizon in horizons %}
        {%- set value = 'served.clv_' ~ horizon ~ 'd' %}
        ({{ overlaid(
            horizon, value, 'served.clv_' ~ var('clv_gate_horizon_days') ~ 'd', 'overlay'
        ) }}) / nullif({{ value }}, 0) as factor_{{ horizon }}d,
        {%- endfor %}
        served.customer_id
    from served
    inner join {{ ref('int_overlay__served') }} as overlay
        on served.customer_id = overlay.customer_id

),

overlaid as (

    select
        served.* replace ( -- noqa: AM04
            {%- for horizon in horizons %}
            {%- for level in [''] + value_levels(horizon) | list %}
            {%- set value = 'clv_' ~ horizon ~ 'd' ~ ('_' ~ level if level else '') %}
            served.{{ value }} * coalesce(factors.factor_{{ horizon }}d, 1.0)
                as {{ value }}
            {{- ',' if not loop.last }}
            {%- endfor %}
            {{- ',' if not loop.last }}
            {%- endfor %}
        )
    from served
    left join factors
        on served.customer_id = factors.customer_id

)
{%- endif %},

contracts as (

    select *
    from {{ ref('int_contracts__scored') }}
    where is_served

)

-- The means of contracts are in int_predictions__expected already.
select
    served.* replace ( -- noqa: AM04
        {%- for horizon in horizons %}
        {%- for level in value_levels(horizon) %}
        {%- set value = 'clv_' ~ horizon ~ 'd_' ~ level %}
        coalesce(contracts.{{ value.removesuffix('_raw') }}, served.{{ value }})
            as {{ value }},
        {%- endfor %}
        case
            when contracts.is_served then 'contract'
            else served.interval_source_{{ horizon }}d
        end as interval_source_{{ horizon }}d,
        {%- endfor %}
        case when contracts.is_served then 'contract' else served.purchase_model end
            as purchase_model
    )
from {{ 'overlaid' if var('clv_overlay') else 'served' }} as served
left join contracts
    on served.customer_id = contracts.customer_id

union all

-- The columns are those of int_predictions__scored.
select
    contracts.customer_id,
    cast(null as {{ type_text() }}) as model_version,
    false as is_current_spec,
    'contract' as purchase_model,
    cast(null as {{ type_text() }}) as stratum,
    cast(null as {{ type_text() }}) as frequency_class,
    contracts.probability_alive,
    contracts.value_per_renewal as expected_value,
    {%- for horizon in horizons %}
    contracts.probability_renewal_{{ horizon }}d as probability_purchase_{{ horizon }}d,
    contracts.expected_renewals_{{ horizon }}d as expected_purchases_{{ horizon }}d,
    contracts.clv_{{ horizon }}d,
    {%- for level in value_levels(horizon) %}
    {%- set shown = level.removesuffix('_raw') %}
    {%- set alias = ' as clv_%sd_%s' % (horizon, level) if shown != level else '' %}
    contracts.clv_{{ horizon }}d_{{ shown }}{{ alias }},
    {%- endfor %}
    'contract' as interval_source_{{ horizon }}d,
    {%- endfor %}
    contracts.as_of_date as cutoff_date
from contracts
cross join readiness
where not readiness.is_forecast
