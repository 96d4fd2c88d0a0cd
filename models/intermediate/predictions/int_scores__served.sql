-- grain: one row per customer with a score: that of the version that serves her
-- The canary serves a stable share of customers, the champion the others. Where the overlay won,
-- it corrects the values: by a factor of the last full run, on the scores of today.
{%- set horizons = var('clv_horizons') %}
with serving as (

    select *
    from {{ ref('int_serving') }}

),

champion as (

    select model_version
    from serving
    where status = 'champion'

),

-- Without a canary nobody is her.
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
    from {{ ref('int_scores') }} as scores
    cross join champion
    cross join canary
    where
        scores.model_version
        = case
            when
                {{ hash_bucket('scores.customer_id', 1000) }} < 1000 * canary.share
                then canary.model_version
            else champion.model_version
        end

)
{%- if var('clv_overlay') %},

overlay as (

    select *
    from {{ ref('int_overlay__served') }}

),

factored as (

    select
        served.*,
        {%- for horizon in horizons %}
        {%- set value = 'served.clv_' ~ horizon ~ 'd' %}
        case
            when overlay.customer_id is not null and {{ value }} > 0
                then ({{ overlaid(
                    horizon, value, 'served.clv_' ~ var('clv_overlay_horizon_days') ~ 'd',
                    'overlay'
                ) }}) / {{ value }}
            else 1.0
        end as factor_{{ horizon }}d,
        {%- endfor %}
        overlay.customer_id is not null as is_overlay
    from served
    left join overlay
        on served.customer_id = overlay.customer_id

)

select -- noqa: AM04
    * replace (
        {%- for horizon in horizons %}
        {%- set value = 'clv_' ~ horizon ~ 'd' %}
        {{ value }} * factor_{{ horizon }}d as {{ value }},
        {%- for level in value_levels(horizon) %}
        {{ value }}_{{ level }} * factor_{{ horizon }}d as {{ value }}_{{ level }}
        {{- ',' if not loop.last }}
        {%- endfor %}
        {{- ',' if not loop.last }}
        {%- endfor %}
    )
from factored
{%- else %}

select -- noqa: AM04
    *,
    {%- for horizon in horizons %}
    1.0 as factor_{{ horizon }}d,
    {%- endfor %}
    false as is_overlay
from served
{%- endif %}
