-- grain: one row per period and bin of the score of a customer, a quarter wide in ln(1 + score)
{%- set has_value = var('clv_value') != 'none' %}
{%- set score = 'clv_365d' if has_value else '1000 * expected_purchases_365d' %}
with scored as (

    select
        cast(floor(4 * ln(1 + {{ score }})) as {{ type_integer() }}) as score_bin,
        count(*) as customers,
        max(as_of_date) as as_of_date
    from {{ ref('customer_lifetime_value') }}
    -- Without scores of prospects for whom a short log gives no prior, and without negative or non-finite
    -- ones, which have no logarithm: score_coverage counts them.
    where {{ is_score(score) }}
    group by 1

),

-- The latest scores before this as-of date.
scored_before as (

    select
        profiles.score_bin,
        profiles.customers,
        profiles.as_of_date
    from {{ source('clv_state', 'score_profiles') }} as profiles
    {{ seen('profiles', 'as_of_date') | indent(4) }}
    inner join {{ ref('int_as_of') }} as as_of
        on profiles.as_of_date < as_of.as_of_date
    qualify dense_rank() over (
        partition by as_of.as_of_date
        order by profiles.as_of_date desc, profiles.recorded_at desc
    ) = 1

)

select
    'current' as period,
    score_bin,
    customers,
    as_of_date
from scored

union all

select
    'last_scored' as period,
    score_bin,
    customers,
    as_of_date
from scored_before
