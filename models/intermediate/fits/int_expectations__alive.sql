-- grain: one row per model version, stratum, cutoff, frequency, age and month of the last purchase, of bgbb
-- P(alive) of BG/BB and what else depends on recency (Fader, Hardie & Shang 2010, equations (5) and (A10)), in
-- months of a monthly log. With x = frequency and n = age, to have left after month j has the odds o(j), in
-- relation to being alive: o(n - 1) = (alpha + beta + n - 1) / (beta + n - 1 - x) a / (b + n - 1), and o(j) =
-- o(j + 1) (alpha + beta + j) / (beta + j - x) (a + b + j + 1) / (b + j). P(alive) is 1 over 1 plus their sum
-- from t_x on. Empty without a version of bgbb.
with tabulated as (

    select
        parameters.model_version,
        pairs.stratum,
        pairs.cutoff_date,
        pairs.frequency,
        pairs.age_days,
        {{ months_old('pairs.age_days') }} as age_months,
        parameters.alpha,
        parameters.beta,
        parameters.a,
        parameters.b
    from {{ ref('int_expectations__pairs') }} as pairs
    inner join {{ ref('int_parameters') }} as parameters
        on
            pairs.stratum = parameters.stratum
            and pairs.cutoff_date = parameters.cutoff_date
    where parameters.purchase_model = 'bgbb'

),

numbers as (

    select number
    from {{ number_series('(select coalesce(max(age_months), 0) from tabulated)') }}
        as series

),

-- Month j, from the earliest that can be the last with a purchase.
months as (

    select
        tabulated.*,
        numbers.number as recency_months,
        case
            when numbers.number = tabulated.age_months then 0.0
            else
                ln(
                    (tabulated.alpha + tabulated.beta + numbers.number)
                    / (tabulated.beta + numbers.number - tabulated.frequency)
                )
        end as ln_idle,
        case
            when numbers.number = tabulated.age_months then 0.0
            when numbers.number = tabulated.age_months - 1
                then ln(tabulated.a / (tabulated.b + numbers.number))
            else
                ln(
                    (tabulated.a + tabulated.b + numbers.number + 1)
                    / (tabulated.b + numbers.number)
                )
        end as ln_left
    from tabulated
    inner join numbers
        on
            tabulated.frequency <= numbers.number
            and tabulated.age_months >= numbers.number

),

multiplied as (

    select
        *,
        sum(ln_idle) over since as ln_idle_since,
        sum(ln_idle + ln_left) over since as ln_odds
    from months
    window
        since as (
            partition by model_version, stratum, cutoff_date, frequency, age_days
            order by recency_months desc
            rows between unbounded preceding and current row
        )

),

summed as (

    select
        *,
        sum(
            case
                when recency_months = age_months then 0.0
                else exp(least(ln_odds, 600.0))
            end
        ) over (
            partition by model_version, stratum, cutoff_date, frequency, age_days
            order by recency_months desc
            rows between unbounded preceding and current row
        ) as odds
    from multiplied

)

select
    model_version,
    stratum,
    frequency,
    age_days,
    recency_months,
    1.0 / (1.0 + odds) as probability_alive,
    exp(-ln_idle_since) as probability_longer_gap,
    -- While they stay: the mean is of the share of months with a purchase.
    {{ month_days() }} * (alpha + beta + recency_months) / (alpha + frequency)
        as typical_gap_days,
    {{ month_days() }} * (alpha + beta + age_months) / (alpha + frequency)
        as mean_gap_days,
    cutoff_date
from summed
