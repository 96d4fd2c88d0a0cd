-- grain: one row per cutoff and horizon: what completed windows have proven against the purchase model
-- Four parts, in this order, each on what the ones before it made of the forecast, and each off until it
-- is surely better (one-sided 95 %) on windows that had ended by the cutoff. Pairs are customers, not
-- windows of customers: who is in several windows counts once, with their mean.
-- 1. forgetting: purchases count less the older they are; the total stays. 2. floor: nobody's P(alive)
-- is less than this. 3., 4. a blend with the customer's own purchases and value of the last horizon.
-- Each is shrunk by windows: half of it after one, four fifths after two that do not overlap.
{%- set horizons = shaped('clv_horizons') %}
{%- set floors = [0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2] %}
{%- set sampled_customers = 50000 %}
{%- set least_customers = 100 %}
with cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}

),

recipe as (

    select *
    from {{ ref('int_predictions__alive') }}
    where is_recipe and {{ before_as_of('cutoff_date') }}

),

-- Forgetting moves purchases between customers and leaves their sum.
totals as (

    select
        cutoff_date,
        {%- for days in forgetting_days() %}
        sum(probability_alive * purchase_rate)
        / sum(probability_alive * purchase_rate_{{ days }}d) as total_{{ days }}d,
        {%- endfor %}
        {{ sampled_customers }} / cast(count(*) as {{ type_double() }}) as sampled_share
    from recipe
    group by 1

),

horizons as (

    {{ horizon_rows() | indent(4) }}

),

paired as (

    select
        recipe.customer_id,
        recipe.cutoff_date as window_date,
        horizons.horizon_days,
        recipe.probability_alive,
        recipe.expected_value as mean_value,
        greatest(
            recipe.probability_alive
            * {{ of_horizon('recipe.purchases_if_alive') | indent(12) }}, 1e-12
        ) as expected_purchases,
        {%- for days in forgetting_days() %}
        totals.total_{{ days }}d * recipe.purchase_rate_{{ days }}d
        / recipe.purchase_rate as forgetting_{{ days }}d,
        {%- endfor %}
        {%- for own in ['purchases', 'value'] %}
        {{ of_horizon('recipe.own_' ~ own) | indent(8) }} as own_{{ own }},
        cast(
            {{ of_horizon('outcomes.' ~ own) | indent(12) }} as {{ type_double() }}
        ) as {{ own }},
        {%- endfor %}
        recipe.cutoff_date
    from recipe
    inner join totals
        on
            recipe.cutoff_date = totals.cutoff_date
            and {{ hash_bucket('recipe.customer_id', 100000) }}
            < 100000 * totals.sampled_share
    inner join {{ ref('int_histories__held_out') }} as outcomes
        on
            recipe.customer_id = outcomes.customer_id
            and recipe.cutoff_date = outcomes.cutoff_date
    cross join horizons

),

-- What was known at each cutoff.
known as (

    select
        paired.customer_id,
        paired.window_date,
        paired.horizon_days,
        paired.probability_alive,
        paired.mean_value,
        paired.expected_purchases,
        {%- for days in forgetting_days() %}
        paired.forgetting_{{ days }}d,
        {%- endfor %}
        paired.own_purchases,
        paired.own_value,
        paired.purchases,
        paired.value,
        cutoffs.cutoff_date
    from paired
    inner join cutoffs
        on
            {{ add_days('paired.window_date', 'paired.horizon_days') }}
            <= cutoffs.cutoff_date
    where paired.purchases is not null

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
        count(*) as windows
    from known
    group by 1, 2, 3

),

forgetting_tried as (

    {% for days in forgetting_days() -%}
    select
        cutoff_date,
        horizon_days,
        {{ days }} as days,
        avg(excess_{{ days }}d) as excess,
        1.645 * stddev_samp(excess_{{ days }}d) / sqrt(count(*)) as margin,
        count(*) as customers
    from forgotten
    group by 1, 2
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

forgetting as (

    select
        cutoff_date,
        horizon_days,
        days,
        excess
    from forgetting_tried
    where excess + margin < 0 and customers >= {{ least_customers }}
    qualify row_number() over (
        partition by cutoff_date, horizon_days
        order by excess
    ) = 1

),

remembered as (

    select
        known.*,
        shrunk.shrinkage,
        shrunk.own_shrinkage,
        1 / greatest(known.probability_alive, 1e-12) - 1 as left_odds,
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

floors_tried as (

    {% for share in floors -%}
    select
        cutoff_date,
        horizon_days,
        {{ share }} as share,
        avg(excess_{{ loop.index }}) as excess,
        1.645 * stddev_samp(excess_{{ loop.index }}) / sqrt(count(*)) as margin,
        count(*) as customers
    from raised
    group by 1, 2
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

-- The best of all, where it is surely better than none.
floors as (

    select *
    from floors_tried
    qualify row_number() over (
        partition by cutoff_date, horizon_days
        order by excess
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
            and floors.excess + floors.margin < 0
            and floors.customers >= {{ least_customers }}

),

-- 3., 4. Sums from which a weight w and its squared error follow: with d = own less forecast and
-- e = what came less forecast, the error changes by w^2 d^2 - 2 w d e.
{% for own in ['purchases', 'value'] -%}
{%- set forecast = 'floored_purchases' ~ (' * mean_value' if own == 'value' else '') -%}
{{ own }}_customers as (

    select
        cutoff_date,
        horizon_days,
        customer_id,
        avg(power(own_{{ own }} - {{ forecast }}, 2)) as squared,
        avg(
            (own_{{ own }} - {{ forecast }}) * ({{ own }} - {{ forecast }})
        ) as crossed,
        avg(power({{ own }} - {{ forecast }}, 2)) as error
    from floored
    where own_{{ own }} is not null and {{ own }} is not null
    group by 1, 2, 3

),

{{ own }}_sums as (

    select
        cutoff_date,
        horizon_days,
        count(*) as customers,
        avg(squared) as squared,
        avg(crossed) as crossed,
        avg(squared * squared) as squared_squared,
        avg(squared * crossed) as squared_crossed,
        avg(crossed * crossed) as crossed_crossed,
        avg(error) as error,
        least(greatest(avg(crossed) / nullif(avg(squared), 0), 0.0), 1.0) as weight
    from {{ own }}_customers
    group by 1, 2

),

{{ own }}_blend as (

    select
        cutoff_date,
        horizon_days,
        weight,
        weight * weight * squared - 2 * weight * crossed as excess,
        error
    from {{ own }}_sums
    where
        weight > 0
        and customers >= {{ least_customers }}
        and weight * weight * squared - 2 * weight * crossed
        + 1.645 * sqrt(
            greatest(
                power(weight, 4) * (squared_squared - squared * squared)
                - 4 * power(weight, 3) * (squared_crossed - squared * crossed)
                + 4 * power(weight, 2) * (crossed_crossed - crossed * crossed), 0.0
            ) / customers
        ) < 0

),

{% endfor -%}
deviances as (

    select
        cutoff_date,
        horizon_days,
        2 * avg(
            case
                when purchases > 0 then purchases * ln(purchases / expected_purchases)
                else 0.0
            end - purchases + expected_purchases
        ) as deviance
    from known
    group by 1, 2

),

learned as (

    select
        shrunk.*,
        forgetting.days as forgetting_days,
        case when forgetting.days is not null then shrunk.shrinkage else 0.0 end
            as forgetting_share,
        forgetting.excess / deviances.deviance as forgetting_gain,
        case
            when
                floors.excess + floors.margin < 0
                and floors.customers >= {{ least_customers }}
                then shrunk.shrinkage * floors.share
            else 0.0
        end as alive_floor,
        case
            when floors.excess + floors.margin < 0
                then floors.excess / deviances.deviance
        end as floor_gain,
        coalesce(purchases_blend.weight * shrunk.own_shrinkage, 0.0)
            as purchases_weight,
        purchases_blend.excess / nullif(purchases_blend.error, 0) as purchases_gain,
        coalesce(value_blend.weight * shrunk.own_shrinkage, 0.0) as value_weight,
        value_blend.excess / nullif(value_blend.error, 0) as value_gain
    from shrunk
    inner join deviances
        on
            shrunk.cutoff_date = deviances.cutoff_date
            and shrunk.horizon_days = deviances.horizon_days
    left join forgetting
        on
            shrunk.cutoff_date = forgetting.cutoff_date
            and shrunk.horizon_days = forgetting.horizon_days
    left join floors
        on
            shrunk.cutoff_date = floors.cutoff_date
            and shrunk.horizon_days = floors.horizon_days
    left join purchases_blend
        on
            shrunk.cutoff_date = purchases_blend.cutoff_date
            and shrunk.horizon_days = purchases_blend.horizon_days
    left join value_blend
        on
            shrunk.cutoff_date = value_blend.cutoff_date
            and shrunk.horizon_days = value_blend.horizon_days

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
