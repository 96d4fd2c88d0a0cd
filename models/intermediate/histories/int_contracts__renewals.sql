-- grain: one row per plan, billing period and renewal: how many customers could renew, and how many did not
with histogram as (

    select
        plan,
        billing_period_days,
        counted_renewals,
        case when is_counted_loss then 1 else 0 end as losses,
        count(*) as customers
    from {{ ref('int_contracts__observed') }}
    where billing_period_days is not null and first_purchase_date is not null
    group by 1, 2, 3, 4

)

-- Renewal 1 has a row even where nobody has reached it: a new plan takes the fit of others.
select
    histogram.plan,
    histogram.billing_period_days,
    numbers.number as renewal,
    cast(
        sum(
            case
                when histogram.counted_renewals + histogram.losses >= numbers.number
                    then histogram.customers
                else 0
            end
        ) as {{ type_integer() }}
    ) as customers_at_risk,
    cast(
        sum(
            case
                when histogram.counted_renewals >= numbers.number
                    then histogram.customers
                else 0
            end
        ) as {{ type_integer() }}
    ) as retained_customers
from histogram
inner join
    {{ number_series('(select max(counted_renewals) + 1 from histogram)') }} as numbers
    on
        numbers.number >= 1
        and greatest(histogram.counted_renewals + histogram.losses, 1)
        >= numbers.number
group by 1, 2, 3
