-- grain: one row per model version scored at the as-of date and check of its scores
{%- set score =
    'expected_purchases_365d' if var('clv_value') == 'none' else 'clv_365d' %}
{%- set measured_checks = [
    'scored_share', 'invalid_scores', 'expected_to_trailing_30_days'
] %}
with cutoffs as (

    select *
    from {{ ref('int_cutoffs') }}
    where is_production

),

champion as (

    select model_version
    from {{ ref('int_registry__statuses') }}
    where role = 'champion'

),

scores as (

    select
        scored.customer_id,
        scored.model_version,
        scored.{{ score }} as score,
        scored.expected_purchases_30d,
        -- Bins 5 % wide, so that no worker sorts every customer.
        cast(
            floor(ln(greatest(scored.{{ score }}, 1e-9)) / 0.05) as {{ type_integer() }}
        ) as score_bin
    from {{ ref('int_predictions__expected') }} as scored
    inner join cutoffs
        on scored.cutoff_date = cutoffs.cutoff_date
    where {{ at_as_of('scored.cutoff_date') }}

),

histories as (

    select
        count(*) as customers,
        sum(
            case
                when
                    histories.first_purchase_date
                    <= {{ add_days('cutoffs.cutoff_date', -30) }}
                    then 1
                else 0
            end
        ) as customers_30_days_ago
    from {{ ref('int_histories__observed') }} as histories
    inner join cutoffs
        on histories.cutoff_date = cutoffs.cutoff_date
    where {{ at_as_of('histories.cutoff_date') }}

),

-- Purchases in the last 30 days of those who were customers before them.
lately as (

    select count(*) as purchases
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join cutoffs
        on
            {{ add_days('cutoffs.cutoff_date', -30) }} < purchase_days.purchase_date
            and {{ known_at('cutoffs.cutoff_date') }}
    inner join {{ ref('int_histories__observed') }} as histories
        on
            purchase_days.customer_id = histories.customer_id
            and cutoffs.cutoff_date = histories.cutoff_date
    where
        purchase_days.is_purchase
        and {{ at_as_of('histories.cutoff_date') }}
        and {{ within_days('purchase_days.purchase_date', 30) }}
        and histories.first_purchase_date
        <= {{ add_days('cutoffs.cutoff_date', -30) }}

),

summed as (

    select
        model_version,
        count(*) as customers,
        sum(
            case
                when score >= 0 and score < 1e15 and expected_purchases_30d >= 0 then 0
                else 1
            end
        ) as invalid_scores,
        avg(expected_purchases_30d) as expected_purchases
    from scores
    group by 1

),

-- Length of the next 30 days in a version's season-warped time, relative to the last 30.
seasons as (

    select
        season.model_version,
        -max(case when season.days_ago = -30 then season.time_ago end)
        / max(case when season.days_ago = 30 then season.time_ago end) as lengthening
    from {{ ref('int_season') }} as season
    inner join cutoffs
        on season.cutoff_date = cutoffs.cutoff_date
    where season.days_ago in (-30, 30)
    group by 1

),

measured as (

    select
        summed.model_version,
        summed.invalid_scores,
        summed.customers * 1.0 / histories.customers as scored_share,
        summed.expected_purchases / coalesce(seasons.lengthening, 1.0)
        * histories.customers_30_days_ago
        / nullif(lately.purchases, 0) as expected_to_trailing
    from summed
    cross join histories
    cross join lately
    left join seasons
        on summed.model_version = seasons.model_version

),

histogram as (

    select
        model_version,
        score_bin,
        count(*) as customers
    from scores
    group by 1, 2

),

-- Deciles of the champion's scores; a bin belongs to the decile of its last customer.
tenths as (

    select
        histogram.model_version,
        histogram.score_bin,
        cast(
            ceil(
                10.0 * sum(histogram.customers) over (
                    partition by histogram.model_version
                    order by histogram.score_bin
                    rows between unbounded preceding and current row
                ) / sum(histogram.customers) over (
                    partition by histogram.model_version
                )
            ) as {{ type_integer() }}
        ) as tenth
    from histogram
    inner join champion
        on histogram.model_version = champion.model_version

),

bins as (

    select
        model_version,
        tenth,
        max(score_bin) as last_bin
    from tenths
    group by 1, 2

),

edges as (

    select
        tenth,
        last_bin,
        lag(last_bin) over (
            partition by model_version
            order by tenth
        ) as bin_before,
        lead(tenth) over (
            partition by model_version
            order by tenth
        ) is null as is_last
    from bins

),

placed as (

    select
        histogram.model_version,
        edges.tenth,
        sum(histogram.customers) as customers
    from histogram
    inner join edges
        on
            (histogram.score_bin <= edges.last_bin or edges.is_last)
            and (edges.bin_before is null or histogram.score_bin > edges.bin_before)
    group by 1, 2

),

-- Half a customer is added per decile, so that the index of an empty one is finite.
shares as (

    select
        versions.model_version,
        edges.tenth,
        (coalesce(placed.customers, 0) + 0.5)
        / sum(coalesce(placed.customers, 0) + 0.5) over (
            partition by versions.model_version
        ) as share
    from summed as versions
    inner join edges
        on edges.tenth between 1 and 10
    left join placed
        on
            versions.model_version = placed.model_version
            and edges.tenth = placed.tenth

),

compared as (

    select
        shares.model_version,
        shares.share,
        max(case when champion.model_version is not null then shares.share end) over (
            partition by shares.tenth
        ) as champions_share
    from shares
    left join champion
        on shares.model_version = champion.model_version

),

moved as (

    select
        model_version,
        sum((share - champions_share) * ln(share / champions_share)) as score_psi
    from compared
    where champions_share is not null
    group by 1

),

-- Parameters of one stratum, with those of the champion.
parameters as (

    select
        ours.model_version,
        max(
            greatest(
                {%- for name in model_parameter_names() %}
                coalesce(abs(ln(ours.{{ name }} / theirs.{{ name }})), 0)
                {{- ',' if not loop.last }}
                {%- endfor %}
            )
        ) as parameter_change
    from {{ ref('int_parameters') }} as ours
    inner join cutoffs
        on ours.cutoff_date = cutoffs.cutoff_date
    inner join {{ ref('int_parameters') }} as theirs
        on
            ours.stratum = theirs.stratum
            and ours.cutoff_date = theirs.cutoff_date
            and ours.purchase_model = theirs.purchase_model
            and ours.k = theirs.k
    inner join champion
        on theirs.model_version = champion.model_version
    group by 1

),

champions_ratio as (

    select max(measured.expected_to_trailing) as expected_to_trailing
    from measured
    inner join champion
        on measured.model_version = champion.model_version

),

check_names as (

    {% for name in measured_checks -%}
    select '{{ name }}' as check_name
    {{- '\n    union all\n    ' if not loop.last }}
    {%- endfor %}

),

checks as (

    select
        measured.model_version,
        check_names.check_name,
        case check_names.check_name
            when 'scored_share' then measured.scored_share
            when 'invalid_scores' then 1.0 * measured.invalid_scores
            else measured.expected_to_trailing
        end as value,
        case check_names.check_name
            when 'scored_share' then measured.scored_share >= 0.90
            when 'invalid_scores' then measured.invalid_scores = 0
            -- After a peak month the ratio is below one: it passes if the champion's ratio is too.
            else coalesce(
                measured.expected_to_trailing between 0.75 and 1.33
                or abs(ln(measured.expected_to_trailing))
                <= abs(ln(champions_ratio.expected_to_trailing)) + 0.05,
                measured.expected_to_trailing is null
            )
        end as is_passed
    from measured
    cross join champions_ratio
    cross join check_names

    union all

    select
        model_version,
        'score_psi' as check_name,
        score_psi as value,
        score_psi <= 0.25 as is_passed
    from moved

    union all

    -- Between a third of the champion's and three times as much.
    select
        model_version,
        'parameter_change' as check_name,
        exp(parameter_change) as value,
        parameter_change <= ln(3) as is_passed
    from parameters
    {%- if not is_daily() %}

    union all

    select
        model_version,
        'unconverged_strata' as check_name,
        1.0 * sum(case when is_converged then 0 else 1 end) as value,
        min(case when is_converged then 1 else 0 end) = 1 as is_passed
    from {{ ref('int_candidate') }}
    group by 1
    {%- endif %}

)

select
    model_version,
    check_name,
    cast(value as {{ type_double() }}) as value,
    -- A check that cannot be computed fails.
    coalesce(is_passed, false) as is_passed
from checks
