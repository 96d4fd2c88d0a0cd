-- grain: one row per cutoff, horizon, method and group of customers
-- Ranks are those of 1 % wide bins, ties at their middle; deciles share a bin out evenly.
{%- set groups = ['all', 'stratum', 'frequency_class', 'rfm_segment'] %}
{%- set sums = [
    'absolute_error', 'squared_error', 'absolute_excess', 'absolute_excess_squared',
    'squared_excess', 'squared_excess_squared', 'pinball_p10', 'pinball_p50', 'pinball_p90',
] %}
{%- set covered = ['coverage_50', 'coverage_80', 'coverage_90'] %}
with group_types as (

    {% for group_type in groups -%}
    select '{{ group_type }}' as group_type
    {{- '\n    union all\n    ' if not loop.last }}
    {%- endfor %}

),

cells as (

    select
        outcomes.*,
        group_types.group_type
    from {{ ref('int_backtest__binned') }} as outcomes
    cross join group_types

),

grouped as (

    select
        *,
        case group_type
            when 'all' then 'all'
            {%- for each in groups[1:] %}
            when '{{ each }}' then {{ each }}
            {%- endfor %}
        end as group_value
    from cells

),

summed as (

    select
        cutoff_date,
        horizon_days,
        method,
        group_type,
        group_value,
        {%- for each in sums %}
        sum({{ each }}) as {{ each }},
        {%- endfor %}
        cast(sum(customers) as {{ type_double() }}) as customers,
        sum(predicted) as predicted,
        sum(actual) as actual
    from grouped
    group by 1, 2, 3, 4, 5

),

-- A surrogate key of the group, computed once per group.
totals as (

    select
        *,
        {{ surrogate_key([
            'cutoff_date', 'horizon_days', 'method', 'group_type', 'group_value'
        ]) | indent(8) }} as group_key
    from summed

),

-- For ranks and shares, customers with a negative actual, who are all in the lowest bin, have 0.
binned as (

    select
        totals.group_key,
        grouped.predicted_bin,
        grouped.actual_bin,
        sum(grouped.customers) as customers,
        sum(grouped.predicted) as predicted,
        sum(case when grouped.actual_bin = -9999 then 0 else grouped.actual end)
            as actual
    from grouped
    inner join totals
        on
            grouped.cutoff_date = totals.cutoff_date
            and grouped.horizon_days = totals.horizon_days
            and grouped.method = totals.method
            and grouped.group_type = totals.group_type
            and grouped.group_value = totals.group_value
    group by 1, 2, 3

),

{%- for measured in ['predicted', 'actual'] %}

{{ measured }}_bins as (

    select
        group_key,
        {{ measured }}_bin as bin,
        cast(sum(customers) as {{ type_double() }}) as customers,
        sum(predicted) as predicted,
        sum(actual) as actual
    from binned
    group by 1, 2

),

{{ measured }}_ranks as (

    select
        *,
        sum(customers) over whole as all_customers,
        -- Customers in lower bins, and the middle rank of this one, counted from the mean rank.
        sum(customers) over up_to - customers as below,
        sum(customers) over up_to - customers / 2 - sum(customers) over whole / 2
            as centred
    from {{ measured }}_bins
    window
        whole as (partition by group_key),
        up_to as (
            whole
            order by bin
            rows between unbounded preceding and current row
        )

),
{%- endfor %}

-- Sum of the actual ranks of customers in each predicted bin.
paired as (

    select
        binned.group_key,
        binned.predicted_bin,
        sum(binned.customers * ranks.centred) as actual_rank
    from binned
    inner join actual_ranks as ranks
        on
            binned.group_key = ranks.group_key
            and binned.actual_bin = ranks.bin
    group by 1, 2

),

-- Spearman is the correlation of ranks; Gini, the covariance of value with them.
by_predicted as (

    select
        ranks.group_key,
        sum(ranks.centred * paired.actual_rank) as covariance,
        sum(ranks.customers * ranks.centred * ranks.centred) as variance,
        sum(ranks.actual * ranks.centred) as concentration
    from predicted_ranks as ranks
    inner join paired
        on
            ranks.group_key = paired.group_key
            and ranks.bin = paired.predicted_bin
    group by 1

),

by_actual as (

    select
        group_key,
        sum(customers * centred * centred) as variance,
        sum(actual * centred) as concentration,
        sum(actual) as actual
    from actual_ranks
    group by 1

),

deciles as (

    select number
    from {{ number_series(9) }} as series

),

-- A bin is split between deciles by the share of its customers in each.
decile_sums as (

    select
        ranks.group_key,
        deciles.number as decile,
        sum(
            ranks.predicted * {{ decile_share() | indent(12) }}
        ) as predicted,
        sum(
            ranks.actual * {{ decile_share() | indent(12) }}
        ) as actual
    from predicted_ranks as ranks
    cross join deciles
    group by 1, 2

),

by_decile as (

    select
        group_key,
        sum(abs(predicted - actual)) as decile_gap,
        sum(case when decile = 9 then actual else 0 end) as top_actual
    from decile_sums
    group by 1

),

best as (

    select
        ranks.group_key,
        sum(
            ranks.actual * {{ decile_share() | indent(12) }}
        ) as top_actual
    from actual_ranks as ranks
    inner join deciles
        on deciles.number = 9
    group by 1

),

-- Whether the actual lies in the range, from its PIT value.
placed as (

    select
        pit.cutoff_date,
        pit.horizon_days,
        pit.stratum,
        pit.frequency_class,
        rfm.segment as rfm_segment,
        pit.model_version as method,
        group_types.group_type,
        {%- for level, read in {'50': 'p25', '80': 'p10', '90': 'p05'}.items() %}
        case
            when abs(pit.pit - 0.5) < 0.5 - calibration.{{ read }}_read then 1.0
            else 0.0
        end as coverage_{{ level }},
        case
            when abs(pit.pit - 0.5) < {{ level }} / 200.0 then 1.0
            else 0.0
        end as coverage_{{ level }}_raw,
        {%- endfor %}
        pit.pit
    from {{ ref('int_predictions__pit') }} as pit
    inner join {{ ref('int_calibration') }} as calibration
        on
            pit.cutoff_date = calibration.cutoff_date
            and pit.horizon_days = calibration.horizon_days
            and pit.stratum = calibration.stratum
            and pit.range_class = calibration.range_class
    inner join {{ ref('int_customers__rfm_scored') }} as rfm
        on
            pit.customer_id = rfm.customer_id
            and pit.cutoff_date = rfm.cutoff_date
    cross join group_types
    where {{ before_as_of('rfm.cutoff_date') }}

),

covered as (

    select
        cutoff_date,
        horizon_days,
        method,
        group_type,
        case group_type
            when 'all' then 'all'
            {%- for each in groups[1:] %}
            when '{{ each }}' then {{ each }}
            {%- endfor %}
        end as group_value,
        {%- for each in covered %}
        avg({{ each }}) as {{ each }},
        avg({{ each }}_raw) as {{ each }}_raw,
        {%- endfor %}
        count(*) as places
    from placed
    group by 1, 2, 3, 4, 5

)

select
    totals.cutoff_date,
    totals.horizon_days,
    totals.method,
    totals.group_type,
    totals.group_value,
    cast(totals.customers as {{ type_integer() }}) as customers,
    totals.predicted as predicted_value,
    {{ as_money('totals.actual') }} as actual_value_amount,
    totals.absolute_error / totals.customers as mae,
    sqrt(totals.squared_error / totals.customers) as rmse,
    totals.absolute_error / nullif(totals.actual, 0) as wape,
    totals.predicted / nullif(totals.actual, 0) - 1 as bias,
    by_predicted.covariance
    / nullif(sqrt(by_predicted.variance * by_actual.variance), 0) as spearman,
    by_predicted.concentration / nullif(by_actual.concentration, 0)
        as normalised_gini,
    by_decile.top_actual / nullif(by_actual.actual, 0) as top_decile_capture,
    best.top_actual / nullif(by_actual.actual, 0) as best_top_decile_capture,
    by_decile.decile_gap / nullif(by_actual.actual, 0) as decile_calibration_error,
    {%- for each in covered %}
    covered.{{ each }},
    covered.{{ each }}_raw,
    {%- endfor %}
    {%- for level in ['p10', 'p50', 'p90'] %}
    totals.pinball_{{ level }} / totals.customers as pinball_{{ level }},
    {%- endfor %}
    totals.absolute_excess / totals.customers as mae_above_model,
    {{ standard_error(
        'totals.absolute_excess', 'totals.absolute_excess_squared', 'totals.customers'
    ) | indent(4) }} as mae_above_model_se,
    totals.squared_excess / totals.customers as mse_above_model,
    {{ standard_error(
        'totals.squared_excess', 'totals.squared_excess_squared', 'totals.customers'
    ) | indent(4) }} as mse_above_model_se
from totals
inner join by_predicted
    on totals.group_key = by_predicted.group_key
inner join by_actual
    on totals.group_key = by_actual.group_key
inner join by_decile
    on totals.group_key = by_decile.group_key
inner join best
    on totals.group_key = best.group_key
left join covered
    on
        totals.cutoff_date = covered.cutoff_date
        and totals.horizon_days = covered.horizon_days
        and totals.method = covered.method
        and totals.group_type = covered.group_type
        and totals.group_value = covered.group_value
