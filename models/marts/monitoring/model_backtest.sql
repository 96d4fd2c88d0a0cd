-- grain: one row per cutoff, horizon, method and group of customers
-- Ranks are those of 1 % wide bins, ties at their middle; deciles share a bin out evenly.
{%- set groups = {
    'all': "'all'", 'stratum': 'stratum', 'frequency_class': 'frequency_class',
} %}
{%- set keys = ['cutoff_date', 'horizon_days', 'method', 'group_type', 'group_value'] %}
{%- set sums = [
    'absolute_error', 'squared_error', 'absolute_excess', 'absolute_excess_squared',
    'squared_excess', 'squared_excess_squared', 'pinball_p10', 'pinball_p50', 'pinball_p90',
] %}
with binned as (

    {% for group_type, group_value in groups.items() -%}
    select
        cutoff_date,
        horizon_days,
        method,
        '{{ group_type }}' as group_type,
        {{ group_value }} as group_value,
        predicted_bin,
        realised_bin,
        sum(customers) as customers,
        sum(predicted) as predicted,
        sum(realised) as realised,
        {%- for each in sums %}
        sum({{ each }}) as {{ each }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_backtest__binned') }}
    group by 1, 2, 3, 4, 5, 6, 7
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

totals as (

    select
        {{ keys | join(',\n        ') }},
        cast(sum(customers) as {{ type_double() }}) as customers,
        sum(predicted) as predicted,
        sum(realised) as realised,
        {%- for each in sums %}
        sum({{ each }}) as {{ each }}{{ ',' if not loop.last }}
        {%- endfor %}
    from binned
    group by 1, 2, 3, 4, 5

),

{%- for measured in ['predicted', 'realised'] %}

{{ measured }}_bins as (

    select
        {{ keys | join(',\n        ') }},
        {{ measured }}_bin,
        cast(sum(customers) as {{ type_double() }}) as customers,
        sum(predicted) as predicted,
        sum(realised) as realised
    from binned
    group by 1, 2, 3, 4, 5, 6

),

{{ measured }}_ranks as (

    select
        *,
        -- Customers in lower bins.
        sum(customers) over (
            partition by {{ keys | join(', ') }}
            order by {{ measured }}_bin
            rows between unbounded preceding and current row
        ) - customers as below
    from {{ measured }}_bins

),
{%- endfor %}

-- Spearman: the correlation of middle ranks, counted from the mean rank, customers / 2.
joint as (

    select
        {%- for key in keys %}
        binned.{{ key }},
        {%- endfor %}
        sum(binned.customers * by_predicted.centred * by_realised.centred) as covariance,
        sum(binned.customers * by_predicted.centred * by_predicted.centred)
            as predicted_variance,
        sum(binned.customers * by_realised.centred * by_realised.centred)
            as realised_variance,
        sum(binned.realised * by_predicted.centred) as concentration,
        sum(binned.realised * by_realised.centred) as best_concentration
    from binned
    {%- for measured in ['predicted', 'realised'] %}
    inner join (
        select
            {%- for key in keys + [measured ~ '_bin'] %}
            ranks.{{ key }},
            {%- endfor %}
            ranks.below + ranks.customers / 2 - totals.customers / 2 as centred
        from {{ measured }}_ranks as ranks
        inner join totals
            on
                {%- for key in keys %}
                ranks.{{ key }} = totals.{{ key }}{{ ' and' if not loop.last }}
                {%- endfor %}
    ) as by_{{ measured }}
        on
            {%- for key in keys + [measured ~ '_bin'] %}
            binned.{{ key }} = by_{{ measured }}.{{ key }}{{ ' and' if not loop.last }}
            {%- endfor %}
    {%- endfor %}
    group by 1, 2, 3, 4, 5

),

deciles as (

    select number
    from {{ number_series(9) }} as series

),

-- A bin gives to each decile the share of its customers that fall in it.
{%- for measured in ['predicted', 'realised'] %}

{{ measured }}_shared as (

    select
        {%- for key in keys %}
        ranks.{{ key }},
        {%- endfor %}
        deciles.number as decile,
        ranks.predicted,
        ranks.realised,
        greatest(
            least(ranks.below + ranks.customers, (deciles.number + 1) * totals.customers / 10)
            - greatest(ranks.below, deciles.number * totals.customers / 10), 0
        ) / ranks.customers as share
    from {{ measured }}_ranks as ranks
    inner join totals
        on
            {%- for key in keys %}
            ranks.{{ key }} = totals.{{ key }}{{ ' and' if not loop.last }}
            {%- endfor %}
    {{ 'cross join deciles' if measured == 'predicted'
       else 'inner join deciles on deciles.number = 9' }}

),
{%- endfor %}

decile_sums as (

    select
        {{ keys | join(',\n        ') }},
        decile,
        sum(predicted * share) as predicted,
        sum(realised * share) as realised
    from predicted_shared
    group by 1, 2, 3, 4, 5, 6

),

calibrated as (

    select
        {{ keys | join(',\n        ') }},
        sum(abs(predicted - realised)) as decile_gap,
        sum(case when decile = 9 then realised end) as top_realised
    from decile_sums
    group by 1, 2, 3, 4, 5

),

best as (

    select
        {{ keys | join(',\n        ') }},
        sum(realised * share) as top_realised
    from realised_shared
    group by 1, 2, 3, 4, 5

),

-- Whether what came lay in the range, from its place in the distribution that was predicted.
placed as (

    select
        pit.cutoff_date,
        pit.horizon_days,
        pit.stratum,
        pit.frequency_class,
        pit.model_version as method,
        count(*) as customers
        {%- for level, read in {'50': 'p25', '80': 'p10', '90': 'p05'}.items() %},
        sum(
            case
                when
                    pit.pit > calibration.{{ read }}_read
                    and pit.pit < 1 - calibration.{{ read }}_read
                    then 1
                else 0
            end
        ) as inside_{{ level }},
        sum(
            case
                when abs(pit.pit - 0.5) < {{ level }} / 200.0 then 1
                else 0
            end
        ) as inside_{{ level }}_raw
        {%- endfor %}
    from {{ ref('int_predictions__pit') }} as pit
    inner join {{ ref('int_calibration') }} as calibration
        on
            pit.cutoff_date = calibration.cutoff_date
            and pit.horizon_days = calibration.horizon_days
            and pit.stratum = calibration.stratum
            and pit.frequency_class = calibration.frequency_class
    group by 1, 2, 3, 4, 5

),

covered as (

    {% for group_type, group_value in groups.items() -%}
    select
        cutoff_date,
        horizon_days,
        method,
        '{{ group_type }}' as group_type,
        {{ group_value }} as group_value
        {%- for level in ['50', '80', '90'] %}
        {%- for kind in ['', '_raw'] %},
        cast(sum(inside_{{ level }}{{ kind }}) as {{ type_double() }}) / sum(customers)
            as coverage_{{ level }}{{ kind }}
        {%- endfor %}
        {%- endfor %}
    from placed
    group by 1, 2, 3, 4, 5
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

)

select
    {%- for key in keys %}
    totals.{{ key }},
    {%- endfor %}
    cast(totals.customers as {{ type_integer() }}) as customers,
    totals.predicted as predicted_value,
    {{ as_money('totals.realised') }} as realised_value_amount,
    totals.absolute_error / totals.customers as mae,
    sqrt(totals.squared_error / totals.customers) as rmse,
    totals.absolute_error / nullif(totals.realised, 0) as wape,
    totals.predicted / nullif(totals.realised, 0) - 1 as bias,
    joint.covariance
    / nullif(sqrt(joint.predicted_variance * joint.realised_variance), 0) as spearman,
    joint.concentration / nullif(joint.best_concentration, 0) as normalised_gini,
    calibrated.top_realised / nullif(totals.realised, 0) as top_decile_capture,
    best.top_realised / nullif(totals.realised, 0) as best_top_decile_capture,
    calibrated.decile_gap / nullif(totals.realised, 0) as decile_calibration_error,
    {%- for level in ['50', '80', '90'] %}
    covered.coverage_{{ level }},
    covered.coverage_{{ level }}_raw,
    {%- endfor %}
    {%- for level in ['p10', 'p50', 'p90'] %}
    totals.pinball_{{ level }} / totals.customers as pinball_{{ level }},
    {%- endfor %}
    {%- for loss, short in {'absolute': 'mae', 'squared': 'mse'}.items() %}
    totals.{{ loss }}_excess / totals.customers as {{ short }}_above_model,
    sqrt(
        greatest(
            totals.{{ loss }}_excess_squared / totals.customers
            - power(totals.{{ loss }}_excess / totals.customers, 2), 0
        ) / totals.customers
    ) as {{ short }}_above_model_se{{ ',' if not loop.last }}
    {%- endfor %}
from totals
{%- for part in ['joint', 'calibrated', 'best', 'covered'] %}
{{ 'left' if part == 'covered' else 'inner' }} join {{ part }}
    on
        {%- for key in keys %}
        totals.{{ key }} = {{ part }}.{{ key }}{{ ' and' if not loop.last }}
        {%- endfor %}
{%- endfor %}
