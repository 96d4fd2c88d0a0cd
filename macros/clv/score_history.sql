{#
    Creates table function score_history(frequency, recency, age, mean_value) in the schema of the marts:
    the expectation of the champion's purchase model for any history, also a hypothetical one, without the
    corrections of int_corrections. One row per stratum and horizon.
    frequency: repeat purchase days; recency and age: days from the first purchase to the last one
    and to the cutoff; mean_value: value per purchase day (null leaves value out). An impossible
    history gives nulls.

    Given alive, E[N(t)] is the mean over p ~ Beta(a, b') of
    (1 - (1 + p t / (alpha + T))^-(r + x)) / p, with b' = b + x for bgnbd and b + x + 1 for mbgnbd
    (python_models/int_expectations.py says why), by the trapezoidal rule in u, where
    ln(p / (1 - p)) = ln(a / b') + sqrt(1 / a + 1 / b') sinh(u): it starts from the mode with the
    width of the density, and reaches all of its tails; weights are normalised by their sum. For
    paretonbd it is the rate times the expected time alive. For models with k stages the rate of every
    k-th arrival is picked out of the generating function of arrivals by k roots of unity z_l, which are
    (1 - p)^(1 / k) long: the mean over l of (1 - p)^((j + 1) / k - 1) times the real part of
    turn_l^(j + 1) (1 + (1 - z_l) t / (alpha + T))^-(r + k x + j + 1), j stages having passed. Value is discounted continuously, by
    Gauss-Legendre over the horizon. Relative error against int_expectations: below 1e-8, of models with
    stages, whose rate swings, below 1e-3 (tests/python/test_score_history.py). Seasons are left out: days are usual days.

    Of a monthly log recency runs from a 15th to a 15th and age to the end of a month, as in its tables; bgbb is
    summed over their months, without error.
#}
{% macro create_score_history(relation) -%}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    {{ create_table_function(
        api.Relation.create(
            database=relation.database, schema=relation.schema, identifier='score_history'
        ),
        {
            'frequency': type_integer(), 'recency': type_integer(),
            'age': type_integer(), 'mean_value': type_double()
        },
        score_history_query()
    ) }}
{%- endmacro %}

{# The body of the function. #}
{% macro score_history_query() %}
    {#- NaN and infinity do not give 0 when subtracted from themselves. Columns have other names than the
        arguments, which DuckDB would substitute for them. -#}
    {%- set x, t_x, age, value = (
        safe_cast_to('frequency', type_double()), safe_cast_to('recency', type_double()),
        safe_cast_to('age', type_double()), safe_cast_to('mean_value', type_double())
    ) %}
    {%- set models = scored_models() %}
    {%- set has_months = 'bgbb' in models %}
    {%- set decay = '(ln(1 + ' ~ var('clv_discount_rate') ~ ') / 365)' %}
with asked as (

    select
        {{ safe_cast_to('frequency', type_integer()) }} as repeats,
        {{ t_x }} as recency_time,
        {{ age }} as age_time,
        {{ value }} as value,
        -- Repeat purchase days are days after the first: as many of them at least lie up to the last.
        coalesce(
            {{ x }} >= 0 and {{ x }} = floor({{ x }}) and {{ x }} - {{ x }} = 0
            and {{ t_x }} >= {{ x }} and ({{ x }} > 0 or {{ t_x }} = 0)
            and {{ age }} >= {{ t_x }} and {{ age }} - {{ age }} = 0,
            false
        )
        {%- if is_monthly() %}
        and coalesce(
            round({{ t_x }} / {{ month_days() }}) >= {{ x }}
            and floor({{ age }} / {{ month_days() }})
            >= round({{ t_x }} / {{ month_days() }}), false
        )
        {%- endif %}
        and coalesce({{ value }} >= 0 and {{ value }} - {{ value }} = 0, mean_value is null)
            as is_possible

),

-- Read from a mart, so that readers of the marts need no permission on the registry.
champion as (

    select *
    from {{ ref('model_registry') }}
    where status = 'champion'

),

-- For an impossible history a possible one is computed and dropped from the result. Grouped, because
-- BigQuery inlines what is not grouped wherever it is read.
histories as (

    select
        versions.stratum,
        versions.model_version,
        versions.purchase_model,
        {%- for name in ['k'] + model_parameter_names() %}
        max(versions.{{ name }}) as {{ name }},
        {%- endfor %}
        min(case when asked.is_possible then 1 else 0 end) = 1 as is_possible,
        max(case when asked.is_possible then asked.repeats else 0 end) as repeats,
        max(case when asked.is_possible then asked.recency_time else 0.0 end)
            as recency_time,
        max(case when asked.is_possible then asked.age_time else 0.0 end) as age_time,
        max(case when asked.is_possible then asked.value end) as value
    from champion as versions
    cross join asked
    group by 1, 2, 3

),

{%- if has_months %}

-- Of bgbb: to have left after a month, in relation to being alive (int_expectations__alive).
left_after as (

    select
        histories.stratum,
        sum(
            ln(
                (histories.alpha + histories.beta + months.number)
                / (histories.beta + months.number - histories.repeats)
            )
            + case
                when months.number = {{ months_old('histories.age_time') }} - 1
                    then ln(histories.a / (histories.b + months.number))
                else
                    ln(
                        (histories.a + histories.b + months.number + 1)
                        / (histories.b + months.number)
                    )
            end
        ) over (
            partition by histories.stratum
            order by months.number desc
            rows between unbounded preceding and current row
        ) as ln_odds
    from histories
    inner join {{ number_series(1200) }} as months
        on
            months.number >= {{ months_recent('histories.recency_time') }}
            and months.number < {{ months_old('histories.age_time') }}
    where histories.purchase_model = 'bgbb'

),

left_by_now as (

    select
        stratum,
        sum(exp(least(ln_odds, 600.0))) as odds
    from left_after
    group by 1

),
{%- endif %}

spanned as (

    select
        histories.*,
        {%- if has_months %}
        1.0 / (1.0 + coalesce(left_by_now.odds, 0.0)) as alive_by_month,
        {%- endif %}
        {{ leaving_from() }} as leaving_from,
        {{ leaving_span('repeats') | indent(8) }} as leaving_span,
        {{ stage_chances('repeats') | indent(8) }},
        b + repeats
        + case when purchase_model in ('mbgnbd', 'mbgcnbd') then 1 else 0 end as stayed
    from histories
    {%- if has_months %}
    left join left_by_now
        on histories.stratum = left_by_now.stratum
    {%- endif %}

),

alive as (

    select
        *,
        {{ probability_alive('repeats', models) | indent(8) }} as probability_alive,
        p * (gamma + (repeats + 1) * value) / (p * (repeats + 1) + q - 1)
            as expected_value
    from spanned

),

-- (dropout probability, weight); one node of no dropout where it does not follow a purchase.
steps as (

    select
        stratum,
        case
            when purchase_model = 'paretonbd' then 0.0
            else
                ln(a / stayed)
                + sqrt(1 / a + 1 / stayed) * (exp(u) - exp(-u)) / 2
        end as logit,
        case
            when purchase_model = 'paretonbd' then 1.0
            else (exp(u) + exp(-u)) / 2
        end as width
    from alive
    cross join (
        select (number - 64) / 8.0 as u
        from {{ number_series(128) }} as numbers
    ) as series
    where purchase_model != 'paretonbd' or u = 0

),

dropouts as (

    select
        steps.stratum,
        -- ln(1 - p) / k; nearer to 1 than 2e-9 nothing changes but rounding.
        greatest(
            -20.0,
            -greatest(steps.logit, 0.0) - ln(1 + exp(-abs(steps.logit)))
        ) / alive.k as ln_stay,
        steps.width * exp(
            greatest(
                -700.0,
                case
                    when alive.purchase_model = 'paretonbd' then 0.0
                    else
                        -- ln p and ln (1 - p), less their values at the mode
                        -alive.a * (
                            greatest(-steps.logit, 0.0)
                            + ln(1 + exp(-abs(steps.logit)))
                            - ln(1 + alive.stayed / alive.a)
                        )
                        - alive.stayed * (
                            greatest(steps.logit, 0.0)
                            + ln(1 + exp(-abs(steps.logit)))
                            - ln(1 + alive.a / alive.stayed)
                        )
                end
            )
        ) as weight
    from steps
    inner join alive
        on steps.stratum = alive.stratum

),

-- Stages that may have passed, and the roots of unity.
stages as (

    select
        alive.stratum,
        passed.number as stage,
        (passed.number + 1) * turn.number * 6.283185307179586 / alive.k as own_angle,
        turn.number * 6.283185307179586 / alive.k as angle,
        alive.r + alive.k * alive.repeats + passed.number as shape,
        case passed.number
            when 0 then 1.0
            when 1 then alive.stage_1
            when 2 then alive.stage_2
            else alive.stage_3
        end / ({{ stage_chances_sum() }}) / alive.k as weight
    from alive
    inner join {{ number_series(3) }} as passed
        on passed.number < alive.k
    inner join {{ number_series(3) }} as turn
        on turn.number < alive.k

),

horizons as (

    {{ horizon_rows() | indent(4) }}

),

nodes as (

    select
        [{% for node, _ in legendre_nodes() %}{{ '%.17e' % node }}{{ ', ' if not loop.last }}{% endfor %}] as nodes,
        [{% for _, weight in legendre_nodes() %}{{ '%.17e' % weight }}{{ ', ' if not loop.last }}{% endfor %}] as weights

),

-- (day, weight) of each horizon.
days as (

    select
        horizons.horizon_days,
        horizons.horizon_days * {{ array_at('nodes.nodes', 'place.number') }} as elapsed,
        horizons.horizon_days * {{ array_at('nodes.weights', 'place.number') }} as weight
    from horizons
    cross join nodes
    cross join {{ number_series(legendre_nodes() | length - 1) }} as place

),

-- 1 + (1 - z) t / (alpha + T), for each z.
turned as (

    select
        alive.stratum,
        days.horizon_days,
        days.elapsed,
        days.weight,
        dropouts.weight as dropout_weight,
        dropouts.ln_stay,
        stages.weight as stage_weight,
        stages.stage,
        stages.shape,
        stages.own_angle,
        1 + days.elapsed / (alive.alpha + alive.age_time) * (
            1 - exp(dropouts.ln_stay) * cos(stages.angle)
        ) as real_part,
        -days.elapsed / (alive.alpha + alive.age_time)
        * exp(dropouts.ln_stay) * sin(stages.angle) as imaginary_part
    from alive
    inner join dropouts
        on alive.stratum = dropouts.stratum
    inner join stages
        on alive.stratum = stages.stratum
    cross join days

),

{%- if has_months %}

-- Of bgbb a month, dated in its middle: P(a purchase) times P(they have stayed).
month_rates as (

    select
        alive.stratum,
        horizons.horizon_days,
        (months.number - 0.5) * 365 / 12 as elapsed,
        (alive.alpha + alive.repeats)
        / (alive.alpha + alive.beta + {{ months_old('alive.age_time') }}) * exp(
            sum(
                ln(
                    1 - alive.a / (
                        alive.a + alive.b + {{ months_old('alive.age_time') }}
                        + months.number - 1
                    )
                )
            ) over (
                partition by alive.stratum, horizons.horizon_days
                order by months.number
                rows between unbounded preceding and current row
            )
        ) as rate
    from alive
    cross join horizons
    inner join {{ number_series(months_ahead(shaped('clv_horizons') | max)) }} as months
        on
            months.number > 0
            and horizons.horizon_days / {{ month_days() }} + 0.5 >= months.number
    where alive.purchase_model = 'bgbb'

),
{%- endif %}

-- Purchases a day, given alive at the cutoff: exact in the dropout, at each day.
rates as (

    select
        turned.stratum,
        turned.horizon_days,
        turned.elapsed,
        max(turned.weight) as weight,
        sum(
            turned.dropout_weight * turned.stage_weight * turned.shape
            / (alive.alpha + alive.age_time) * case
                when alive.purchase_model = 'paretonbd'
                    then
                        exp(
                            -alive.s * ln(1 + turned.elapsed / (alive.beta + alive.age_time))
                        )
                else
                    exp(
                        (turned.stage + 1 - alive.k) * turned.ln_stay
                        - (turned.shape + 1) / 2 * ln(
                            turned.real_part * turned.real_part
                            + turned.imaginary_part * turned.imaginary_part
                        )
                    ) * cos(
                        turned.own_angle
                        - (turned.shape + 1)
                        * atan(turned.imaginary_part / turned.real_part)
                    )
            end
        ) / sum(turned.dropout_weight * turned.stage_weight) as rate
    from turned
    inner join alive
        on turned.stratum = alive.stratum
    {%- if has_months %}
    where alive.purchase_model != 'bgbb'
    {%- endif %}
    group by 1, 2, 3
    {%- if has_months %}

    union all

    select
        stratum,
        horizon_days,
        elapsed,
        1.0 as weight,
        rate
    from month_rates
    {%- endif %}

)

select
    alive.stratum,
    rates.horizon_days,
    case when alive.is_possible then max(alive.probability_alive) end
        as probability_alive,
    case
        when alive.is_possible
            then max(alive.probability_alive) * sum(rates.weight * rates.rate)
    end as expected_purchases,
    max(alive.expected_value) as expected_value,
    max(alive.probability_alive) * max(alive.expected_value)
    * sum(rates.weight * rates.rate * exp(-{{ decay }} * rates.elapsed)) as clv,
    max(alive.model_version) as model_version
from alive
inner join rates
    on alive.stratum = rates.stratum
group by alive.stratum, rates.horizon_days, alive.is_possible
{%- endmacro %}
