-- grain: one row per stratum, range class, cutoff and horizon: which levels to read for a range
-- Recalibrates ranges with the PIT values (int_predictions__pit) of windows completed by the cutoff.
-- Two-sided: only the width of a range is adjusted; a shift of its centre is treated as seasonal.
{%- set nodes, prior_customers, prior_windows = 50, 200, 0.1 %}
{%- set levels = {'p05': 0.10, 'p10': 0.20, 'p25': 0.50} %}
with cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}

),

strata as (

    select distinct
        stratum,
        cutoff_date
    from {{ ref('int_expectations__pairs') }}

),

classes as (

    {% for range_class in range_classes() -%}
    select '{{ range_class }}' as range_class
    {{- '\n    union all\n    ' if not loop.last }}
    {%- endfor %}

),

cells as (

    select
        strata.stratum,
        classes.range_class,
        strata.cutoff_date
    from strata
    cross join classes

),

numbers as (

    select number
    from {{ number_series(nodes - 1) }} as series

),

histogram as (

    select
        stratum,
        range_class,
        horizon_days,
        cutoff_date,
        cast(
            least(floor({{ 2 * nodes }} * least(pit, 1 - pit)), {{ nodes - 1 }})
            as {{ type_integer() }}
        ) as number,
        count(*) as customers
    from {{ ref('int_predictions__pit') }}
    group by 1, 2, 3, 4, 5

),

-- Windows completed by each cutoff.
known as (

    select
        cutoffs.cutoff_date,
        histogram.cutoff_date as window_date,
        histogram.stratum,
        histogram.range_class,
        histogram.horizon_days as learned_horizon_days,
        histogram.number,
        histogram.customers
    from histogram
    inner join cutoffs
        on
            {{ add_days('histogram.cutoff_date', 'histogram.horizon_days') }}
            <= cutoffs.cutoff_date

),

windows as (

    select
        cutoff_date,
        learned_horizon_days,
        count(distinct window_date) as windows
    from known
    group by 1, 2

),

horizons as (

    {{ horizon_rows() | indent(4) }}

),

-- A horizon without a completed window uses the longest one that has one, and the trend.
sources as (

    select
        windows.cutoff_date,
        horizons.horizon_days,
        max(windows.learned_horizon_days) as learned_horizon_days
    from windows
    inner join horizons
        on windows.learned_horizon_days <= horizons.horizon_days
    group by 1, 2

),

curves as (

    select
        cells.stratum,
        cells.range_class,
        cells.cutoff_date,
        sources.horizon_days,
        sources.learned_horizon_days,
        windows.windows,
        numbers.number
    from cells
    inner join sources
        on cells.cutoff_date = sources.cutoff_date
    inner join windows
        on
            sources.cutoff_date = windows.cutoff_date
            and sources.learned_horizon_days = windows.learned_horizon_days
    cross join numbers

),

own as (

    select
        cutoff_date,
        learned_horizon_days,
        stratum,
        range_class,
        number,
        sum(customers) as customers
    from known
    group by 1, 2, 3, 4, 5

),

everyone as (

    select
        cutoff_date,
        learned_horizon_days,
        number,
        sum(customers) as customers
    from known
    group by 1, 2, 3

),

counted as (

    select
        curves.*,
        sum(coalesce(own.customers, 0)) over up_to as own_below,
        sum(coalesce(own.customers, 0)) over whole as own_customers,
        sum(coalesce(everyone.customers, 0)) over up_to as everyone_below,
        sum(coalesce(everyone.customers, 0)) over whole as everyone_customers
    from curves
    left join own
        on
            curves.cutoff_date = own.cutoff_date
            and curves.learned_horizon_days = own.learned_horizon_days
            and curves.stratum = own.stratum
            and curves.range_class = own.range_class
            and curves.number = own.number
    left join everyone
        on
            curves.cutoff_date = everyone.cutoff_date
            and curves.learned_horizon_days = everyone.learned_horizon_days
            and curves.number = everyone.number
    window
        whole as (
            partition by
                curves.stratum,
                curves.range_class,
                curves.cutoff_date,
                curves.horizon_days
        ),
        up_to as (
            whole
            order by curves.number
            rows between unbounded preceding and current row
        )

),

-- The share of outcomes in both tails up to a node: of the class, shrunk towards all customers with a
-- weight in customers.
class_shares as (

    select
        *,
        (number + 1) / {{ nodes }}.0 as tails,
        (
            own_below
            + {{ prior_customers }} * everyone_below
            / cast(everyone_customers as {{ type_double() }})
        ) / (own_customers + {{ prior_customers }}) as share_seen
    from counted

),

-- Shrunk towards the model with a weight in windows, because errors within a window are correlated.
shares as (

    select
        *,
        (windows * share_seen + {{ prior_windows }} * tails)
        / (windows + {{ prior_windows }}) as share_read
    from class_shares

),

stepped as (

    select
        *,
        coalesce(lag(share_read) over in_order, 0) as share_read_before
    from shares
    window
        in_order as (
            partition by stratum, range_class, cutoff_date, horizon_days
            order by number
        )

),

learned as (

    select
        stratum,
        range_class,
        cutoff_date,
        horizon_days,
        learned_horizon_days,
        windows,
        {%- for level, tails in levels.items() %}
        max(
            case
                when share_read_before < {{ tails }} and share_read >= {{ tails }}
                    then (
                        tails
                        - (share_read - {{ tails }})
                        / (share_read - share_read_before) / {{ nodes }}
                    ) / 2
            end
        ) as {{ level }},
        {%- endfor %}
        max(own_customers) as own_customers
    from stepped
    group by 1, 2, 3, 4, 5, 6

)

select
    cells.stratum,
    cells.range_class,
    horizons.horizon_days,
    learned.learned_horizon_days,
    coalesce(learned.windows, 0) as windows,
    cast(coalesce(learned.own_customers, 0) as {{ type_integer() }}) as customers,
    {%- for level, tails in levels.items() %}
    -- Errors grow with the horizon: without a completed window the logarithm of a level that is below the
    -- model's grows with the square root of the horizon, about as on those data sets.
    case
        when learned.horizon_days is null then {{ tails / 2 }}
        when learned.learned_horizon_days < horizons.horizon_days
            then {{ tails / 2 }} * power(
                least(learned.{{ level }} / {{ tails / 2 }}, 1),
                sqrt(
                    cast(horizons.horizon_days as {{ type_double() }})
                    / learned.learned_horizon_days
                )
            )
        else learned.{{ level }}
    end as {{ level }}_read,
    {%- endfor %}
    case when learned.horizon_days is null then 'model' else 'calibrated' end
        as interval_source,
    cells.cutoff_date
from cells
cross join horizons
left join learned
    on
        cells.stratum = learned.stratum
        and cells.range_class = learned.range_class
        and cells.cutoff_date = learned.cutoff_date
        and horizons.horizon_days = learned.horizon_days
