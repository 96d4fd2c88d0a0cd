-- grain: one row per cutoff and horizon: corrections of the purchase model learned from completed windows
-- Five corrections, applied in this order, each to the result of the one before, and each off until windows
-- completed by the cutoff have proven it.
-- 1. forgetting: older purchases weigh less, the total is unchanged. 2. floor: a lower bound of P(alive).
-- 3. level: a factor on all expected purchases, where the totals of windows erred on the same side.
-- 4., 5. a blend with the customer's own purchases and value of the last horizon.
-- All but the level must be significantly better (one-sided 95 %) in a test that pairs customers: a customer
-- in several windows counts once, with their mean. They are shrunk by the number of windows: half of it
-- after one, four fifths after two without overlap.
{%- set horizons = shaped('clv_horizons') %}
{%- set floors = [0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6] %}
{%- set least_customers = 100 %}
{#- Of ln(actual / expected total): standard deviation between shops, between the windows of a shop with its
    weight in windows, and between the seasons of a year. #}
{%- set level_prior, window_prior, window_prior_windows, season_prior = 0.1, 0.12, 3, 0.25 %}
{%- set level_limit = 0.3 %}
with cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}

),

horizons as (

    {{ horizon_rows() | indent(4) }}

),

-- Part of the purchase model, which has tried it on the same windows.
seasons as (

    select
        cutoff_date,
        max(case when season != '' then 1.0 else 0.0 end) as weight,
        max(bias_with_season / nullif(bias_without_season, 0) - 1) as gain
    from {{ ref('int_purchases__parameters') }}
    where is_current_spec
    group by 1

),

-- Windows that were forecast without a season have errors that a season removes: a cutoff with one learns
-- from windows with one.
known as (

    select pairs.*
    from {{ ref('int_corrections__pairs') }} as pairs
    left join seasons
        on pairs.cutoff_date = seasons.cutoff_date
    left join seasons as seasons_then
        on pairs.window_date = seasons_then.cutoff_date
    where coalesce(seasons.weight, 0) = coalesce(seasons_then.weight, 0)

),

sizes as (

    select
        cutoff_date,
        horizon_days,
        window_date,
        count(*) as customers,
        count(own_purchases) as own_customers
    from known
    group by 1, 2, 3

),

-- Overlapping windows, and windows with few customers, count as less than one each.
windows as (

    select
        cutoff_date,
        horizon_days,
        count(*) as windows,
        sum(customers) as customers,
        sum(own_customers) as own_customers,
        least(
            count(*), 1 + {{ days_between('min(window_date)', 'max(window_date)') }}
            / cast(horizon_days as {{ type_double() }})
        ) as effective_windows,
        sum(own_customers)
        / cast(nullif(max(own_customers), 0) as {{ type_double() }}) as own_windows
    from sizes
    group by 1, 2

),

shrunk as (

    select
        *,
        power(effective_windows, 2) / (power(effective_windows, 2) + 1) as shrinkage,
        power(least(effective_windows, own_windows), 2)
        / (power(least(effective_windows, own_windows), 2) + 1) as own_shrinkage
    from windows

),

-- 1. Twice the difference of Poisson log-likelihoods, for each time constant.
forgotten as (

    select
        cutoff_date,
        horizon_days,
        customer_id,
        {%- for days in forgetting_days() %}
        avg(
            2 * (
                expected_purchases * (forgetting_{{ days }}d - 1)
                - purchases * ln(forgetting_{{ days }}d)
            )
        ) as excess_{{ days }}d,
        {%- endfor %}
        avg(
            2 * (
                case
                    when purchases > 0
                        then purchases * ln(purchases / expected_purchases)
                    else 0.0
                end - purchases + expected_purchases
            )
        ) as deviance
    from known
    group by 1, 2, 3

),

constants as (

    {% for days in forgetting_days() -%}
    select {{ days }} as days
    {{- '\n    union all\n    ' if not loop.last }}
    {%- endfor %}

),

forgetting_tried as (

    select
        forgotten.cutoff_date,
        forgotten.horizon_days,
        constants.days,
        case constants.days
            {%- for days in forgetting_days() %}
            when {{ days }} then forgotten.excess_{{ days }}d
            {%- endfor %}
        end as excess,
        forgotten.deviance
    from forgotten
    cross join constants

),

-- The best time constant, if it is significantly better than none.
forgetting as (

    select
        cutoff_date,
        horizon_days,
        days,
        avg(excess) as mean_excess,
        avg(deviance) as mean_deviance,
        avg(excess) + 1.645 * stddev_samp(excess) / sqrt(count(*)) < 0
        and count(*) >= {{ least_customers }} as is_better
    from forgetting_tried
    group by 1, 2, 3
    qualify row_number() over (
        partition by cutoff_date, horizon_days
        order by avg(excess)
    ) = 1

),

remembered as (

    select
        known.*,
        shrunk.shrinkage,
        shrunk.own_shrinkage,
        known.expected_purchases * (
            1 + shrunk.shrinkage * (
                case forgetting.days
                    {%- for days in forgetting_days() %}
                    when {{ days }} then known.forgetting_{{ days }}d
                    {%- endfor %}
                    else 1.0
                end - 1
            )
        ) as remembered_purchases
    from known
    inner join shrunk
        on
            known.cutoff_date = shrunk.cutoff_date
            and known.horizon_days = shrunk.horizon_days
    left join forgetting
        on
            known.cutoff_date = forgetting.cutoff_date
            and known.horizon_days = forgetting.horizon_days
            and forgetting.is_better

),

-- 2. The same for each floor under P(alive).
raised as (

    select
        cutoff_date,
        horizon_days,
        customer_id,
        {%- for share in floors %}
        avg(
            2 * (
                remembered_purchases * {{ share }} * left_odds
                - purchases * ln(1 + {{ share }} * left_odds)
            )
        ) as excess_{{ loop.index }},
        {%- endfor %}
        count(*) as windows
    from remembered
    group by 1, 2, 3

),

shares as (

    {% for share in floors -%}
    select
        {{ loop.index }} as place,
        {{ share }} as share
    {{- '\n    union all\n    ' if not loop.last }}
    {%- endfor %}

),

floors_tried as (

    select
        raised.cutoff_date,
        raised.horizon_days,
        shares.share,
        case shares.place
            {%- for share in floors %}
            when {{ loop.index }} then raised.excess_{{ loop.index }}
            {%- endfor %}
        end as excess
    from raised
    cross join shares

),

floors as (

    select
        cutoff_date,
        horizon_days,
        share,
        avg(excess) as mean_excess,
        avg(excess) + 1.645 * stddev_samp(excess) / sqrt(count(*)) < 0
        and count(*) >= {{ least_customers }} as is_better
    from floors_tried
    group by 1, 2, 3
    qualify row_number() over (
        partition by cutoff_date, horizon_days
        order by avg(excess)
    ) = 1

),

floored as (

    select
        remembered.*,
        remembered.remembered_purchases * (
            1 + coalesce(remembered.shrinkage * floors.share, 0.0)
            * remembered.left_odds
        ) as floored_purchases
    from remembered
    left join floors
        on
            remembered.cutoff_date = floors.cutoff_date
            and remembered.horizon_days = floors.horizon_days
            and floors.is_better

),

-- 3. Totals of windows. Half a purchase is added on both sides, for windows without one.
window_totals as (

    select
        cutoff_date,
        horizon_days,
        window_date,
        ln((sum(purchases) + 0.5) / (sum(floored_purchases) + 0.5)) as log_ratio,
        sum(purchases) as purchases,
        sum(floored_purchases) as expected_purchases,
        count(*) as customers
    from floored
    group by 1, 2, 3

),

-- Variance of a window's total: between windows, and by chance. Windows that do not cover a year have the
-- season of their part of it in common.
level_evidence as (

    select
        cutoff_date,
        horizon_days,
        avg(log_ratio) as log_ratio,
        (
            {{ window_prior_windows * window_prior ** 2 }}
            + coalesce(var_samp(log_ratio) * (count(*) - 1), 0.0)
        ) / ({{ window_prior_windows }} + count(*) - 1)
        + avg(1 / (expected_purchases + 0.5)) as variance,
        {{ season_prior ** 2 }} * greatest(
            1 - (
                {{ days_between('min(window_date)', 'max(window_date)') }}
                + horizon_days
            ) / 365.0, 0.0
        ) as shared_variance,
        sum(purchases) as purchases,
        sum(expected_purchases) as expected_purchases,
        sum(customers) as customers
    from window_totals
    group by 1, 2

),

-- Normal posterior of the level; it serves where it is more than its standard deviation from 1.
level_posterior as (

    select
        evidence.*,
        1 / (
            evidence.variance / shrunk.effective_windows + evidence.shared_variance
        ) + {{ 1 / level_prior ** 2 }} as precision_of_level,
        evidence.log_ratio / (
            evidence.variance / shrunk.effective_windows + evidence.shared_variance
        ) as weighted
    from level_evidence as evidence
    inner join shrunk
        on
            evidence.cutoff_date = shrunk.cutoff_date
            and evidence.horizon_days = shrunk.horizon_days

),

levels as (

    select
        *,
        case
            when abs(weighted) / precision_of_level > sqrt(1 / precision_of_level)
                then exp(
                    greatest(
                        least(weighted / precision_of_level, {{ level_limit }}),
                        -{{ level_limit }}
                    )
                )
            else 1.0
        end as level
    from level_posterior

),

levelled as (

    select
        floored.*,
        floored.floored_purchases * levels.level as levelled_purchases
    from floored
    inner join levels
        on
            floored.cutoff_date = levels.cutoff_date
            and floored.horizon_days = levels.horizon_days

),

-- 4., 5. With d = own less forecast and e = actual less forecast, weight w changes the squared error by
-- w^2 d^2 - 2 w d e.
deviations as (

    select
        cutoff_date,
        horizon_days,
        customer_id,
        own_purchases - levelled_purchases as own_purchases,
        purchases - levelled_purchases as purchases,
        own_value - levelled_purchases * mean_value as own_value,
        value - levelled_purchases * mean_value as value
    from levelled
    where own_purchases is not null

),

own_weights as (

    select
        {%- for own in ['purchases', 'value'] %}
        least(
            greatest(
                sum(own_{{ own }} * {{ own }})
                / nullif(sum(own_{{ own }} * own_{{ own }}), 0), 0.0
            ), 1.0
        ) as {{ own }}_weight,
        {%- endfor %}
        cutoff_date,
        horizon_days
    from deviations
    group by 3, 4

),

own_customers as (

    select
        {%- for own in ['purchases', 'value'] %}
        {%- set weight = 'own_weights.' ~ own ~ '_weight' %}
        {%- set actual, forecast = 'deviations.' ~ own, 'deviations.own_' ~ own %}
        max({{ weight }}) as {{ own }}_weight,
        avg(
            {{ weight }} * {{ weight }} * {{ forecast }} * {{ forecast }}
            - 2 * {{ weight }} * {{ forecast }} * {{ actual }}
        ) as {{ own }}_squared,
        avg(abs({{ weight }} * {{ forecast }} - {{ actual }}) - abs({{ actual }}))
            as {{ own }}_absolute,
        avg({{ actual }} * {{ actual }}) as {{ own }}_error,
        {%- endfor %}
        deviations.customer_id,
        deviations.cutoff_date,
        deviations.horizon_days
    from deviations
    inner join own_weights
        on
            deviations.cutoff_date = own_weights.cutoff_date
            and deviations.horizon_days = own_weights.horizon_days
    group by 9, 10, 11

),

-- A mean squared error lower by a quarter of a per cent at least, and significantly lower squared or absolute
-- error: a few large customers make the squared error noisy.
own_blends as (

    select
        {%- for own in ['purchases', 'value'] %}
        max({{ own }}_weight) as {{ own }}_weight,
        avg({{ own }}_squared) / nullif(avg({{ own }}_error), 0) as {{ own }}_gain,
        avg({{ own }}_squared) < -0.0025 * avg({{ own }}_error)
        and count(*) >= {{ least_customers }}
        and (
            {%- for loss in ['squared', 'absolute'] %}
            avg({{ own }}_{{ loss }})
            + 1.645 * stddev_samp({{ own }}_{{ loss }}) / sqrt(count(*)) < 0
            {{- '\n            or ' if not loop.last }}
            {%- endfor %}
        ) as {{ own }}_is_better,
        {%- endfor %}
        cutoff_date,
        horizon_days
    from own_customers
    group by 7, 8

),

learned as (

    select
        case when forgetting.is_better then forgetting.days end as forgetting_days,
        case when forgetting.is_better then shrunk.shrinkage else 0.0 end
            as forgetting_share,
        case
            when forgetting.is_better
                then forgetting.mean_excess / forgetting.mean_deviance
        end as forgetting_gain,
        case when floors.is_better then shrunk.shrinkage * floors.share else 0.0 end
            as alive_floor,
        case
            when floors.is_better then floors.mean_excess / forgetting.mean_deviance
        end as floor_gain,
        levels.level - 1 as level_shift,
        2 * (
            levels.expected_purchases * (levels.level - 1)
            - levels.purchases * ln(levels.level)
        ) / levels.customers / forgetting.mean_deviance as level_gain,
        {%- for own in ['purchases', 'value'] %}
        case
            when own_blends.{{ own }}_is_better
                then own_blends.{{ own }}_weight * shrunk.own_shrinkage
            else 0.0
        end as {{ own }}_weight,
        case when own_blends.{{ own }}_is_better then own_blends.{{ own }}_gain end
            as {{ own }}_gain,
        {%- endfor %}
        shrunk.*
    from shrunk
    left join forgetting
        on
            shrunk.cutoff_date = forgetting.cutoff_date
            and shrunk.horizon_days = forgetting.horizon_days
    left join floors
        on
            shrunk.cutoff_date = floors.cutoff_date
            and shrunk.horizon_days = floors.horizon_days
    left join levels
        on
            shrunk.cutoff_date = levels.cutoff_date
            and shrunk.horizon_days = levels.horizon_days
    left join own_blends
        on
            shrunk.cutoff_date = own_blends.cutoff_date
            and shrunk.horizon_days = own_blends.horizon_days

),

-- A horizon without a completed window uses the longest one that has one, except for the level and the
-- blends, which are of sums over a window of another length.
sources as (

    select
        cutoffs.cutoff_date,
        horizons.horizon_days,
        max(windows.horizon_days) as learned_horizon_days
    from cutoffs
    cross join horizons
    left join windows
        on
            cutoffs.cutoff_date = windows.cutoff_date
            and horizons.horizon_days >= windows.horizon_days
    group by 1, 2

)

-- Rounded: the order in which a warehouse adds must not move a quantile across no purchase at all.
select
    sources.horizon_days,
    sources.learned_horizon_days,
    cast(coalesce(learned.windows, 0) as {{ type_integer() }}) as windows,
    coalesce(learned.effective_windows, 0.0) as effective_windows,
    cast(coalesce(learned.customers, 0) as {{ type_integer() }}) as customers,
    learned.forgetting_days,
    coalesce(round(learned.forgetting_share, 9), 0.0) as forgetting_share,
    learned.forgetting_gain,
    coalesce(round(learned.alive_floor, 9), 0.0) as alive_floor,
    learned.floor_gain,
    {%- set is_own = 'learned.horizon_days = sources.horizon_days' %}
    case when {{ is_own }} then round(learned.level_shift, 9) else 0.0 end
        as level_shift,
    case when {{ is_own }} then learned.level_gain end as level_gain,
    {%- for own in ['purchases', 'value'] %}
    case when {{ is_own }} then round(learned.{{ own }}_weight, 9) else 0.0 end
        as {{ own }}_weight,
    case when {{ is_own }} then learned.{{ own }}_gain end as {{ own }}_gain,
    {%- endfor %}
    coalesce(seasons.weight, 0.0) as season_weight,
    case when seasons.weight > 0 then seasons.gain end as season_gain,
    sources.cutoff_date
from sources
left join learned
    on
        sources.cutoff_date = learned.cutoff_date
        and sources.learned_horizon_days = learned.horizon_days
left join seasons
    on sources.cutoff_date = seasons.cutoff_date
