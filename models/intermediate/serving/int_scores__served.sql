-- grain: one row per customer with a score: the score of the version that serves them
-- The canary serves a stable share of customers, the champion the others. Where the overlay won, values
-- are multiplied by its factor of the last full run. No scores where the log does not suffice for a
-- forecast (int_readiness), even if a version still has some.
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

)

select
    served.* replace ( -- noqa: AM04
        {%- for horizon in horizons %}
        {%- for level in [''] + value_levels(horizon) | list %}
        {%- set value = 'clv_' ~ horizon ~ 'd' ~ ('_' ~ level if level else '') %}
        served.{{ value }} * coalesce(factors.factor_{{ horizon }}d, 1.0) as {{ value }}
        {{- ',' if not loop.last }}
        {%- endfor %}
        {{- ',' if not loop.last }}
        {%- endfor %}
    )
from served
left join factors
    on served.customer_id = factors.customer_id
{%- else %}

select * -- noqa: AM04
from served
{%- endif %}
