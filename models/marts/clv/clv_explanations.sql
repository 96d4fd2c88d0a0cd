-- grain: one row per customer whom the overlay serves and family of reasons
-- The product of a customer's factors is the overlay's factor on their baseline plus the floor that is
-- added to every baseline; `everyone` is the factor common to all customers.
{%- if var('clv_overlay') %}
with contributions as (

    select *
    from {{ ref('int_overlay__contributions') }}

),

-- The feature with the largest contribution names the reason of its family.
main as (

    select
        contributions.customer_id,
        contributions.family,
        contributions.feature,
        case
            when contributions.is_above_average then names.above_average
            when not contributions.is_above_average then names.below_average
            else concat('too little known of ', contributions.family)
        end as reason
    from contributions
    inner join {{ ref('int_overlay__feature_names') }} as names
        on contributions.feature = names.feature
    qualify row_number() over (
        partition by contributions.customer_id, contributions.family
        order by abs(contributions.contribution) desc, contributions.feature asc
    ) = 1

),

families as (

    select
        customer_id,
        family,
        sum(contribution) as contribution
    from contributions
    group by 1, 2

),

totals as (

    select
        customer_id,
        sum(contribution) as contribution
    from families
    group by 1

),

factors as (

    select
        families.customer_id,
        families.family,
        main.feature,
        main.reason,
        exp(families.contribution) as multiplier,
        row_number() over (
            partition by families.customer_id
            order by abs(families.contribution) desc, families.family asc
        ) as factor_rank
    from families
    inner join main
        on
            families.customer_id = main.customer_id
            and families.family = main.family

    union all

    select
        served.customer_id,
        'everyone' as family,
        cast(null as {{ type_text() }}) as feature,
        'all customers alike' as reason,
        served.factor / exp(totals.contribution) as multiplier,
        cast(null as {{ type_integer() }}) as factor_rank
    from {{ ref('int_overlay__served') }} as served
    inner join totals
        on served.customer_id = totals.customer_id

),

-- Whole numbers, which every warehouse writes alike.
rounded as (

    select
        *,
        cast(floor(round(100 * multiplier) / 100) as {{ type_integer() }}) as ones,
        cast(
            mod(cast(round(100 * multiplier) as {{ type_integer() }}), 100)
            as {{ type_text() }}
        ) as hundredths
    from factors

)

select
    rounded.customer_id,
    rounded.family,
    cast(rounded.factor_rank as {{ type_integer() }}) as factor_rank,
    rounded.feature,
    rounded.multiplier,
    concat(
        '×', cast(rounded.ones as {{ type_text() }}),
        '.', lpad(rounded.hundredths, 2, '0'),
        ': ', rounded.reason
    ) as explanation,
    as_of.as_of_date
from rounded
cross join {{ ref('int_as_of') }} as as_of
{%- else %}
{{ empty_relation({
    'customer_id': type_text(), 'family': type_text(), 'factor_rank': type_integer(),
    'feature': type_text(), 'multiplier': type_double(), 'explanation': type_text(),
    'as_of_date': 'date',
}) }}
{%- endif %}
