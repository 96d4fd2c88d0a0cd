-- grain: one row per feature and period that the current one is compared with
-- Population stability index over the deciles of that period; ties share a bin, nulls have their own, as
-- does every label held by at least 1 %. Half a customer is added to each bin.
with histograms as (

    select
        period,
        feature,
        is_clock,
        number,
        label,
        customers,
        cutoff_date
    from {{ ref('int_drift__histograms') }}

    union all

    select
        period,
        'score' as feature,
        false as is_clock,
        cast(score_bin as {{ type_double() }}) as number,
        cast(null as {{ type_text() }}) as label,
        customers,
        as_of_date as cutoff_date
    from {{ ref('score_distribution') }}

),

cumulated as (

    select
        period,
        feature,
        number,
        sum(customers) over (
            partition by period, feature
            order by number
            rows between unbounded preceding and current row
        ) as customers_up_to,
        sum(customers) over (partition by period, feature) as customers
    from histograms
    where period != 'current' and number is not null

),

edges as (

    select
        period,
        {%- for decile in range(1, 10) %}
        min(case when 10 * customers_up_to >= {{ decile }} * customers then number end)
            as edge_{{ decile }},
        {%- endfor %}
        feature
    from cumulated
    group by 1, 11

),

totals as (

    select
        period,
        feature,
        is_clock,
        sum(customers) as customers,
        max(cutoff_date) as cutoff_date
    from histograms
    group by 1, 2, 3

),

common_labels as (

    select
        histograms.period,
        histograms.feature,
        histograms.label
    from histograms
    inner join totals
        on
            histograms.period = totals.period
            and histograms.feature = totals.feature
    where
        histograms.label is not null
        and 100 * histograms.customers >= totals.customers

),

-- Counts of each reference period and of the current one.
sides as (

    select
        period as reference,
        feature,
        number,
        label,
        customers as reference_customers,
        0 as current_customers
    from histograms
    where period != 'current'

    union all

    select
        totals.period as reference,
        totals.feature,
        histograms.number,
        histograms.label,
        0 as reference_customers,
        histograms.customers as current_customers
    from histograms
    inner join totals
        on histograms.feature = totals.feature
    where histograms.period = 'current' and totals.period != 'current'

),

binned as (

    select
        sides.reference,
        sides.feature,
        sides.number,
        sides.reference_customers,
        sides.current_customers,
        case
            when sides.number is not null
                then cast(
                    {%- for decile in range(1, 10) %}
                    {{ '+ ' if not loop.first }}case
                        when sides.number > edges.edge_{{ decile }} then 1 else 0
                    end
                    {%- endfor %} as {{ type_text() }}
                )
            when common_labels.label is not null then concat('=', common_labels.label)
            when sides.label is not null then 'other'
            else 'null'
        end as bin
    from sides
    left join edges
        on
            sides.reference = edges.period
            and sides.feature = edges.feature
    left join common_labels
        on
            sides.reference = common_labels.period
            and sides.feature = common_labels.feature
            and sides.label = common_labels.label

),

bins as (

    select
        reference,
        feature,
        bin,
        sum(reference_customers) as reference_customers,
        sum(current_customers) as current_customers
    from binned
    group by 1, 2, 3

),

shares as (

    select
        reference,
        feature,
        (reference_customers + 0.5) / (
            sum(reference_customers) over (partition by reference, feature)
            + 0.5 * count(*) over (partition by reference, feature)
        ) as reference_share,
        (current_customers + 0.5) / (
            sum(current_customers) over (partition by reference, feature)
            + 0.5 * count(*) over (partition by reference, feature)
        ) as current_share
    from bins

),

indices as (

    select
        reference,
        feature,
        count(*) as bins,
        sum((current_share - reference_share) * ln(current_share / reference_share))
            as psi,
        sum(current_share * ln(current_share / reference_share)) as kl
    from shares
    group by 1, 2

),

moments as (

    select
        reference,
        {%- for side in ['reference', 'current'] %}
        {%- set customers = side ~ '_customers' %}
        sum({{ customers }} * number) / nullif(sum({{ customers }}), 0)
            as {{ side }}_mean,
        sum({{ customers }} * number * number) / nullif(sum({{ customers }}), 0)
            as {{ side }}_mean_square,
        sum({{ customers }}) as {{ customers }},
        {%- endfor %}
        feature
    from binned
    where feature in ('order_value', 'mean_value') and number is not null
    group by 1, 8

),

limited as (

    select
        indices.reference,
        indices.feature,
        reference_totals.is_clock,
        reference_totals.customers as reference_customers,
        current_totals.customers as current_customers,
        indices.bins,
        indices.psi,
        indices.kl,
        -- Critical value, exceeded once in 2,000 times without any change, so that all features
        -- together give no alert 99 times in 100: chi-square with B - 1 degrees of freedom
        -- (Wilson & Hilferty 1931) times 1/N + 1/M.
        case
            when indices.bins > 1
                then (indices.bins - 1) * power(
                    1 - 2.0 / (9 * (indices.bins - 1))
                    + 3.29 * sqrt(2.0 / (9 * (indices.bins - 1))), 3
                ) * (1.0 / reference_totals.customers + 1.0 / current_totals.customers)
        end as psi_by_chance,
        exp(moments.current_mean - moments.reference_mean) - 1 as level_shift,
        exp(
            3.48 * sqrt(
                greatest(
                    moments.reference_mean_square
                    - moments.reference_mean * moments.reference_mean, 0
                ) / moments.reference_customers
                + greatest(
                    moments.current_mean_square
                    - moments.current_mean * moments.current_mean, 0
                ) / nullif(moments.current_customers, 0)
            )
        ) - 1 as level_shift_by_chance,
        reference_totals.cutoff_date as reference_date,
        current_totals.cutoff_date as compared_date
    from indices
    inner join totals as reference_totals
        on
            indices.reference = reference_totals.period
            and indices.feature = reference_totals.feature
    inner join totals as current_totals
        on
            indices.feature = current_totals.feature
            and current_totals.period = 'current'
    left join moments
        on
            indices.reference = moments.reference
            and indices.feature = moments.feature

)

select
    feature,
    reference,
    is_clock,
    cast(reference_customers as {{ type_integer() }}) as reference_customers,
    cast(current_customers as {{ type_integer() }}) as current_customers,
    bins,
    psi,
    psi_by_chance,
    coalesce(psi > psi_by_chance, false) as is_psi_beyond_chance,
    kl,
    level_shift,
    level_shift_by_chance,
    coalesce(abs(level_shift) > level_shift_by_chance, false)
        as is_level_shift_beyond_chance,
    reference_date,
    compared_date
from limited
