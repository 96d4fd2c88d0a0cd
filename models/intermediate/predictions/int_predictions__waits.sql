-- grain: one row per customer, cutoff and model version: days to the next purchase, and the own rhythm
-- The distribution of the served forecast. Its -ln P(no purchase yet) is known at the horizons; between two,
-- and before the first, it rises like the purchase model's (int_expectations__waits), so that it passes through
-- P(purchase) of every horizon exactly. A quantile beyond the longest horizon is null. Of a monthly log it is
-- the 15th of the month in which the quantile lies, as every purchase is.
{%- set horizons = shaped('clv_horizons') %}
{%- set days = wait_days() %}
{%- set levels = {'p10': 0.1, 'p50': 0.5, 'p90': 0.9} %}
with expected as (

    select *
    from {{ ref('int_predictions__expected') }}

),

tabulated as (

    select *
    from {{ ref('int_expectations__waits') }}

),

joined as (

    select
        expected.customer_id,
        expected.model_version,
        expected.is_current_spec,
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
        tabulated.hazards,
        expected.cutoff_date
    from expected
    inner join tabulated
        on
            expected.model_version = tabulated.model_version
            and expected.stratum = tabulated.stratum
            and expected.cutoff_date = tabulated.cutoff_date
            and expected.frequency = tabulated.frequency
            and expected.age_days = tabulated.age_days
            and expected.stage_quarters = tabulated.stage_quarters

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
given_alive as (

    select
        {%- for level in levels %}
        -ln(greatest((alive - 1 + exp(-modelled_{{ level }})) / alive, 1e-300))
            as hazard_{{ level }},
        {%- endfor %}
        *
    from placed

),

-- The day at which that is reached: how much of each step between two days has passed.
reached as (

    select
        {%- for level in levels %}
        case
            when latest_{{ level }} is not null
                -- Kept between the two horizons, and rounded: the order in which a warehouse adds must
                -- not move a date by a day.
                then
                    round(
                        greatest(
                            least(
                                latest_{{ level }},
                                {{
                                    days_passed('hazards', 'hazard_' ~ level)
                                    | indent(32)
                                }}
                            ), earliest_{{ level }} + 1e-9
                        ), 9
                    )
        end as wait_days_{{ level }},
        {%- endfor %}
        *
    from given_alive

)

select
    customer_id,
    model_version,
    is_current_spec,
    frequency_class,
    {%- for level in levels %}
    {%- set days = 'wait_days_' ~ level %}
    {%- if is_monthly() %}
    {%- set month -%}
        {% call(waited) once(days, 'waited') %}{{ month_of_wait(waited, horizons) }}{% endcall %}
    {%- endset %}
    cast(
        {{ days_between(
            'cutoff_date', add_days(add_months(month_start('cutoff_date'), month), 14)
        ) | indent(8) }} as {{ type_double() }}
    ) as {{ days }},
    {%- else %}
    {{ days }},
    {%- endif %}
    {%- endfor %}
    -- A rhythm needs two gaps.
    case when frequency >= 2 then typical_gap_days end as typical_gap_days,
    case when frequency >= 2 then probability_longer_gap < 0.1 end as is_overdue,
    cutoff_date
from reached
