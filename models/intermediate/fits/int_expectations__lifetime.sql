-- grain: one row per model version, stratum, frequency, age and stage at the as-of date: beyond the horizons
-- The next 1,095 days, and the rest of the life: the longest horizon that int_expectations has.
{%- set grid = spend_grid() %}
{%- set keys = [
    'model_version', 'stratum', 'cutoff_date', 'frequency', 'age_days', 'stage_quarters'
] %}
with tabulated as (

    select
        {{ keys | join(',\n        ') }},
        horizon_days,
        expected_purchases,
        discounted_purchases,
        probability_purchase,
        -- Null without a value model, and arrays may not hold nulls.
        [
            {%- for node in range(grid.nodes) %}
            coalesce(ln_spend_q{{ '%02d' % node }}, 0.0){{ ',' if not loop.last }}
            {%- endfor %}
        ] as ln_spend_quantiles
    from {{ ref('int_expectations') }}
    where horizon_days >= 1095

),

ends as (

    select max(horizon_days) as lifetime_days
    from tabulated

),

-- Cutoffs before the as-of date are not looked at from so far.
lives as (

    select tabulated.*
    from tabulated
    inner join ends
        on tabulated.horizon_days = ends.lifetime_days

)

select
    {%- for key in keys[:2] + keys[3:] %}
    lives.{{ key }},
    {%- endfor %}
    {%- for name, relation in {'1095d': 'further', 'lifetime': 'lives'}.items() %}
    {%- for measure in [
        'expected_purchases', 'discounted_purchases', 'probability_purchase',
        'ln_spend_quantiles',
    ] %}
    {{ relation }}.{{ measure }} as {{ measure }}_{{ name }},
    {%- endfor %}
    {%- endfor %}
    lives.cutoff_date
from lives
inner join tabulated as further
    on
        {%- for key in keys %}
        {{ 'and ' if not loop.first }}lives.{{ key }} = further.{{ key }}
        {%- endfor %}
        and further.horizon_days = 1095
