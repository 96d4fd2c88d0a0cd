-- grain: one row per customer and cutoff with an overlay: the group in which the gate evaluates them
-- Terciles of the share bought at a discount and of the number of categories, where the purchase model
-- is known to be weak; a log without discounts has one class, one without categories uses frequency.
with features as (

    select
        features.customer_id,
        features.cutoff_date,
        features.frequency_class,
        cast(
            floor(100 * coalesce(features.discounted_share, 0)) as {{ type_integer() }}
        ) as promotion,
        cast(features.categories as {{ type_integer() }}) as breadth
    from {{ ref('int_customer_features') }} as features
    inner join {{ ref('int_overlay__windows') }} as windows
        on features.cutoff_date = windows.cutoff_date

),

{%- for measure in ['promotion', 'breadth'] %}

{{ measure }}_histogram as (

    select
        cutoff_date,
        {{ measure }} as bin,
        count(*) as customers
    from features
    group by 1, 2

),

{{ measure }}_cumulated as (

    select
        cutoff_date,
        bin,
        sum(customers) over (
            partition by cutoff_date
            order by bin
            rows between unbounded preceding and current row
        ) as customers_up_to,
        sum(customers) over (partition by cutoff_date) as customers
    from {{ measure }}_histogram

),

{{ measure }}_thirds as (

    select
        cutoff_date,
        min(case when 3 * customers_up_to >= customers then bin end) as low_until,
        min(case when 3 * customers_up_to >= 2 * customers then bin end)
            as medium_until,
        max(bin) as highest
    from {{ measure }}_cumulated
    group by 1

),
{%- endfor %}

classified as (

    select
        features.customer_id,
        features.cutoff_date,
        case
            when promotion.highest = 0 then 'no promotion'
            when features.promotion <= promotion.low_until then 'low promotion'
            when features.promotion <= promotion.medium_until then 'medium promotion'
            else 'high promotion'
        end as promotion,
        case
            when breadth.highest = 0
                then concat('frequency ', features.frequency_class)
            when features.breadth <= breadth.low_until then 'few categories'
            when features.breadth <= breadth.medium_until then 'some categories'
            else 'many categories'
        end as breadth
    from features
    inner join promotion_thirds as promotion
        on features.cutoff_date = promotion.cutoff_date
    inner join breadth_thirds as breadth
        on features.cutoff_date = breadth.cutoff_date

)

select
    customer_id,
    concat(promotion, ', ', breadth) as cohort_group,
    cutoff_date
from classified
