-- grain: one row per customer, cutoff and model version: days to the next purchase, and the own rhythm
-- The distribution of the served forecast. Its -ln P(no purchase yet) is known at the horizons; between two,
-- and before the first, it rises like the purchase model's (int_outlook__waits), so that it passes through
-- P(purchase) of every horizon exactly. A quantile beyond the longest horizon is null.
{%- set horizons = shaped('clv_horizons') %}
{%- set days = wait_days() %}
{%- set last_node = days | length - 2 %}
{%- set levels = {'p10': 0.1, 'p50': 0.5, 'p90': 0.9} %}
with expected as (

    select *
    from {{ ref('int_predictions__expected') }}

),

outlook as (

    select *
    from {{ ref('int_outlook__waits') }}

),

joined as (

    select
        expected.customer_id,
        expected.model_version,
        expected.is_recipe,
        expected.frequency,
        expected.frequency_class,
        expected.typical_gap_days,
        expected.probability_longer_gap,
        {%- for horizon in horizons %}
        expected.probability_purchase_{{ horizon }}d,
        -ln(greatest(1 - expected.probability_purchase_{{ horizon }}d, 1e-15))
            as served_{{ horizon }}d,
        {%- endfor %}
        greatest(expected.probability_alive, 1e-9) as alive,
        outlook.hazards,
        expected.cutoff_date
    from expected
    inner join outlook
        on
            expected.model_version = outlook.model_version
            and expected.stratum = outlook.stratum
            and expected.cutoff_date = outlook.cutoff_date
            and expected.frequency = outlook.frequency
            and expected.age_days = outlook.age_days
            and expected.stage_quarters = outlook.stage_quarters

),

-- The purchase model's, which includes that the customer may have left.
modelled as (

    select
        {%- for horizon in horizons %}
        -ln(
            greatest(
                1 - alive
                + alive * exp(-{{ array_at('hazards', days.index(horizon)) }}),
                1e-15
            )
        ) as modelled_{{ horizon }}d,
        {%- endfor %}
        *
    from joined

),

-- Each level as the model's -ln P(no purchase yet), and by which horizon it is reached.
placed as (

    select
        {%- for level, share in levels.items() %}
        case
            {%- for horizon in horizons %}
            {%- set place = '_' ~ horizons[loop.index0 - 1] ~ 'd' %}
            {%- set served = '0' if loop.first else 'served' ~ place %}
            {%- set modelled = '0' if loop.first else 'modelled' ~ place %}
            when probability_purchase_{{ horizon }}d >= {{ share }}
                then
                    {{ modelled }} + (modelled_{{ horizon }}d - {{ modelled }})
                    * (-ln({{ 1 - share }}) - {{ served }})
                    / greatest(served_{{ horizon }}d - {{ served }}, 1e-15)
            {%- endfor %}
        end as modelled_{{ level }},
        case
            {%- for horizon in horizons %}
            when probability_purchase_{{ horizon }}d >= {{ share }} then {{ horizon }}
            {%- endfor %}
        end as latest_{{ level }},
        case
            {%- for horizon in horizons %}
            when probability_purchase_{{ horizon }}d >= {{ share }}
                then {{ 0 if loop.first else horizons[loop.index0 - 1] }}
            {%- endfor %}
        end as earliest_{{ level }},
        {%- endfor %}
        *
    from modelled

),

-- The same given alive.
searched_0 as (

    select
        {%- for level in levels %}
        case
            when latest_{{ level }} is not null
                then -ln(
                    greatest((alive - 1 + exp(-modelled_{{ level }})) / alive, 1e-300)
                )
        end as hazard_{{ level }},
        0 as node_0_{{ level }},
        {%- endfor %}
        *
    from placed

),
{% for step in [32, 16, 8, 4, 2, 1] %}
{%- set place = loop.index0 %}
searched_{{ loop.index }} as (

    select
        {%- for level in levels %}
        {%- set node = 'node_' ~ place ~ '_' ~ level %}
        {%- set further = 'least(' ~ node ~ ' + ' ~ step ~ ', ' ~ last_node ~ ')' %}
        case
            when hazard_{{ level }} >= {{ array_at('hazards', further) }}
                then {{ further }}
            else {{ node }}
        end as node_{{ place + 1 }}_{{ level }},
        {%- endfor %}
        *
    from searched_{{ place }}

),
{% endfor %}
calendars as (

    select [{{ days | join('.0, ') }}.0] as days

)

select
    searched_6.customer_id,
    searched_6.model_version,
    searched_6.is_recipe,
    searched_6.frequency_class,
    {%- for level in levels %}
    {%- set node = 'searched_6.node_6_' ~ level %}
    {%- set left = array_at('searched_6.hazards', node) %}
    {%- set right = array_at('searched_6.hazards', node ~ ' + 1') %}
    {%- set day = array_at('calendars.days', node) %}
    {%- set next_day = array_at('calendars.days', node ~ ' + 1') %}
    -- Kept between the two horizons, whatever rounding does.
    case
        when searched_6.latest_{{ level }} is not null
            then greatest(
                least(
                    {{ day }} + ({{ next_day }} - {{ day }})
                    * (searched_6.hazard_{{ level }} - {{ left }})
                    / greatest({{ right }} - {{ left }}, 1e-12),
                    searched_6.latest_{{ level }}
                ), searched_6.earliest_{{ level }} + 1e-9
            )
    end as wait_days_{{ level }},
    {%- endfor %}
    -- A rhythm needs two gaps.
    case when searched_6.frequency >= 2 then searched_6.typical_gap_days end
        as typical_gap_days,
    case when searched_6.frequency >= 2 then searched_6.probability_longer_gap < 0.1 end
        as is_overdue,
    searched_6.cutoff_date
from searched_6
cross join calendars
