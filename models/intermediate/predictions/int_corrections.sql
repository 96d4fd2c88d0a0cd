-- grain: one row per cutoff and horizon: what completed windows have proven against the purchase model
-- Four parts, in this order, each on what the ones before it made of the forecast, and each off until it
-- is surely better (one-sided 95 %) on windows that had ended by the cutoff. Pairs are customers, not
-- windows of customers: who is in several windows counts once, with their mean.
-- 1. forgetting: purchases count less the older they are; the total stays. 2. floor: nobody's P(alive)
-- is less than this. 3., 4. a blend with the customer's own purchases and value of the last horizon.
-- Each is shrunk by windows: half of it after one, four fifths after two that do not overlap.
{%- set horizons = shaped('clv_horizons') %}
{%- set floors = [0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2] %}
{%- set least_customers = 100 %}
with cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}

),

horizons as (

    {{ horizon_rows() | indent(4) }}

),

known as (

    select *
    from {{ ref('int_corrections__pairs') }}

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

-- Windows that overlap tell the same story twice; one of few customers is less than a window.
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

-- The best of all, where it is surely better than none.
forgetting as (

    select
        cutoff_date,
        horizon_days,
        days,
        avg(excess) as excess,
        avg(deviance) as deviance,
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
        avg(excess) as excess,
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

-- 3., 4. Sums from which a weight w and its squared error follow: with d = own less forecast and
-- e = what came less forecast, the error changes by w^2 d^2 - 2 w d e.
deviations as (

    select
        cutoff_date,
        horizon_days,
        customer_id,
        own_purchases - floored_purchases as own_purchases,
        purchases - floored_purchases as purchases,
        own_value - floored_purchases * mean_value as own_value,
        value - floored_purchases * mean_value as value
    from floored
    where own_purchases is not null

),

own_customers as (

    select
        cutoff_date,
        horizon_days,
        customer_id,
        {%- for own in ['purchases', 'value'] %}
        avg(own_{{ own }} * own_{{ own }}) as {{ own }}_squared,
        avg(own_{{ own }} * {{ own }}) as {{ own }}_crossed,
        avg({{ own }} * {{ own }}) as {{ own }}_error,
        {%- endfor %}
        count(*) as windows
    from deviations
    group by 1, 2, 3

),

own_sums as (

    select
        cutoff_date,
        horizon_days,
        {%- for own in ['purchases', 'value'] %}
        avg({{ own }}_squared) as {{ own }}_squared,
        avg({{ own }}_crossed) as {{ own }}_crossed,
        var_pop({{ own }}_squared) as {{ own }}_squared_variance,
        covar_pop({{ own }}_squared, {{ own }}_crossed) as {{ own }}_covariance,
        var_pop({{ own }}_crossed) as {{ own }}_crossed_variance,
        avg({{ own }}_error) as {{ own }}_error,
        least(
            greatest(
                avg({{ own }}_crossed) / nullif(avg({{ own }}_squared), 0), 0.0
            ), 1.0
        ) as {{ own }}_weight,
        {%- endfor %}
        count(*) as customers
    from own_customers
    group by 1, 2

),

own_blends as (

    select
        {%- for own in ['purchases', 'value'] %}
        {{ own }}_weight,
        {{ own }}_error,
        {{ own }}_weight * {{ own }}_weight * {{ own }}_squared
        - 2 * {{ own }}_weight * {{ own }}_crossed as {{ own }}_excess,
        1.645 * {{ own }}_weight * sqrt(
            greatest(
                power({{ own }}_weight, 2) * {{ own }}_squared_variance
                - 4 * {{ own }}_weight * {{ own }}_covariance
                + 4 * {{ own }}_crossed_variance, 0.0
            ) / customers
        ) as {{ own }}_margin,
        {%- endfor %}
        cutoff_date,
        horizon_days,
        customers
    from own_sums

),

learned as (

    select
        case when forgetting.is_better then forgetting.days end as forgetting_days,
        case when forgetting.is_better then shrunk.shrinkage else 0.0 end
            as forgetting_share,
        case when forgetting.is_better then forgetting.excess / forgetting.deviance end
            as forgetting_gain,
        case when floors.is_better then shrunk.shrinkage * floors.share else 0.0 end
            as alive_floor,
        case when floors.is_better then floors.excess / forgetting.deviance end
            as floor_gain,
        {%- for own in ['purchases', 'value'] %}
        case
            when
                own_blends.{{ own }}_excess + own_blends.{{ own }}_margin < 0
                and own_blends.customers >= {{ least_customers }}
                then own_blends.{{ own }}_weight * shrunk.own_shrinkage
            else 0.0
        end as {{ own }}_weight,
        case
            when
                own_blends.{{ own }}_excess + own_blends.{{ own }}_margin < 0
                and own_blends.customers >= {{ least_customers }}
                then own_blends.{{ own }}_excess / own_blends.{{ own }}_error
        end as {{ own }}_gain,
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
    left join own_blends
        on
            shrunk.cutoff_date = own_blends.cutoff_date
            and shrunk.horizon_days = own_blends.horizon_days

),

-- A horizon of which no window has ended learns from the longest that has, but no blend: that is of
-- sums over other days.
sources as (

    select
        cutoffs.cutoff_date,
        horizons.horizon_days,
        max(learned.horizon_days) as learned_horizon_days
    from cutoffs
    cross join horizons
    left join learned
        on
            cutoffs.cutoff_date = learned.cutoff_date
            and horizons.horizon_days >= learned.horizon_days
    group by 1, 2

)

select
    sources.horizon_days,
    sources.learned_horizon_days,
    cast(coalesce(learned.windows, 0) as {{ type_integer() }}) as windows,
    coalesce(learned.effective_windows, 0.0) as effective_windows,
    cast(coalesce(learned.customers, 0) as {{ type_integer() }}) as customers,
    learned.forgetting_days,
    coalesce(learned.forgetting_share, 0.0) as forgetting_share,
    learned.forgetting_gain,
    coalesce(learned.alive_floor, 0.0) as alive_floor,
    learned.floor_gain,
    {%- for own in ['purchases', 'value'] %}
    case
        when learned.horizon_days = sources.horizon_days then learned.{{ own }}_weight
        else 0.0
    end as {{ own }}_weight,
    case
        when learned.horizon_days = sources.horizon_days then learned.{{ own }}_gain
    end as {{ own }}_gain,
    {%- endfor %}
    sources.cutoff_date
from sources
left join learned
    on
        sources.cutoff_date = learned.cutoff_date
        and sources.learned_horizon_days = learned.horizon_days
