-- grain: one row per cutoff and RFM measure, with the values where its scores change
-- percent_rank is the share of customers strictly below, over the others: taken from a histogram,
-- so that ties share a score and no worker has to sort every customer.
with histories as (

    select
        *,
        age_days - recency_days as days_since_last_purchase
    from {{ ref('int_histories__observed') }}

),

histogram as (

    {%- for measure in ['days_since_last_purchase', 'purchase_days', 'value_amount'] %}
    select
        cutoff_date,
        '{{ measure }}' as measure,
        cast({{ measure }} as {{ type_double() }}) as measured,
        count(*) as customers
    from histories
    where {{ measure }} is not null
    group by 1, 2, 3
    {{- '\n\n    union all\n' if not loop.last }}
    {%- endfor %}

),

ranked as (

    select
        cutoff_date,
        measure,
        measured,
        sum(customers) over (
            partition by cutoff_date, measure
            order by measured
            rows between unbounded preceding and current row
        ) - customers as customers_below,
        sum(customers) over (partition by cutoff_date, measure) - 1 as others
    from histogram

)

select
    cutoff_date,
    measure,
    min(case when 5 * customers_below >= 1 * others then measured end) as cut_1,
    min(case when 5 * customers_below >= 2 * others then measured end) as cut_2,
    min(case when 5 * customers_below >= 3 * others then measured end) as cut_3,
    min(case when 5 * customers_below >= 4 * others then measured end) as cut_4
from ranked
where others > 0
group by 1, 2
