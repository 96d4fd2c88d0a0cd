-- grain: one row per measure and subject: every number that a rule of alert_rules can test
{#- From tables that daily runs do not rebuild. -#}
{%- set measured_in_full_runs = [
    'withheld_horizons', 'unchecked_horizons', 'regular_customer_rate', 'flagged_fits',
    'rate_value_correlation',
    'feature_psi', 'feature_level_shift', 'brier_skill', 'calibration_error',
    'largest_calibration_error', 'purchase_bias', 'tracking_error_in_sample',
    'tracking_error_after', 'largest_identity', 'merged_accounts',
] %}
with drift as (

    select
        *,
        case when is_psi_beyond_chance then psi else 0 end as psi_of_note,
        case when is_level_shift_beyond_chance then abs(level_shift) else 0 end
            as level_shift_of_note
    from {{ ref('feature_drift') }}
    where not is_clock

),

-- The latest cutoff with completed 90 days: all customers, and the deciles.
calibrations as (

    select
        *,
        sqrt(greatest(mean_probability * (1 - mean_probability), 0) / customers)
            as standard_error
    from {{ ref('model_calibration') }}
    where horizon_days = 90
    qualify rank() over (partition by horizon_days order by cutoff_date desc) = 1

),

-- Deviations that chance explains in a shop of this size are not reported; here and below the limit is
-- exceeded by chance once in 2,000 times. The absolute deviation of a normal variable has mean 0.80 and
-- standard deviation 0.60, in units of its own.
deciles as (

    select
        max(
            case
                when calibration_error > 3.29 * standard_error then calibration_error
                else 0
            end
        ) as largest_error_of_note,
        (
            0.80 * sum(customers * standard_error)
            + 3.29 * 0.60 * sqrt(sum(power(customers * standard_error, 2)))
        ) / sum(customers) as mean_error_by_chance
    from calibrations
    where decile > 0

),

surprises as (

    select
        cutoff_date,
        sqrt(sum(purchase_squared_error)) as purchases_by_chance
    from {{ ref('int_calibration__histograms') }}
    where horizon_days = 90
    group by 1

),

calibration as (

    select
        calibrations.brier_skill,
        deciles.largest_error_of_note,
        case
            when calibrations.calibration_error > deciles.mean_error_by_chance
                then calibrations.calibration_error
            else 0
        end as error_of_note,
        case
            when
                abs(calibrations.expected_purchases - calibrations.actual_purchases)
                > 3.29 * surprises.purchases_by_chance
                then abs(
                    calibrations.expected_purchases
                    / nullif(calibrations.actual_purchases, 0) - 1
                )
            else 0
        end as purchase_bias_of_note
    from calibrations
    cross join deciles
    inner join surprises
        on calibrations.cutoff_date = surprises.cutoff_date
    where calibrations.decile = 0

),

tracking as (

    select *
    from {{ ref('model_tracking') }}

),

-- The latest fit that has been tracked for a quarter. Errors are weighted by purchases, because the first
-- weeks have few.
followed as (

    select max(cutoff_date) as cutoff_date
    from tracking
    where not is_in_sample and {{ days_between('cutoff_date', 'week_end_date') }} >= 84

),

histories as (

    select histories.*
    from {{ ref('int_histories__observed') }} as histories
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on histories.cutoff_date = cutoffs.cutoff_date
    where cutoffs.is_production and histories.is_on_plan is not true

),

readiness as (

    select *
    from {{ ref('int_readiness') }}
    where is_production

),

given as (

    select count(*) as horizons
    from readiness
    where is_forecast

),

-- With forecasts withheld no customer has a score.
coverage as (

    select score_coverage.*
    from {{ ref('score_coverage') }} as score_coverage
    inner join given
        on given.horizons > 0

),

identities as (

    select
        customer_id,
        count(*) as identifiers,
        sum(case when substr(identifier, 1, 8) = 'account:' then 1 else 0 end)
            as accounts
    from {{ ref('int_identities__resolved') }}
    group by 1

),

guest_months as (

    select
        transaction_month,
        sum(line_count) as line_count,
        sum(lines_without_user) * 1.0 / sum(line_count) as share
    from {{ ref('int_loads__checked') }}
    where lines_without_user is not null
    group by 1

),

-- The latest month, with the highest share of the six before it.
guests as (

    select
        line_count,
        share,
        max(share) over (
            order by transaction_month
            rows between 6 preceding and 1 preceding
        ) as highest_before
    from guest_months
    qualify row_number() over (order by transaction_month desc) = 1

),

-- Without campaigns that have ended and are no longer exported.
campaigns as (

    select
        concat(campaign_id, ' ', arm) as subject,
        budget_used / {{ var('clv_campaign_budget_limit') }} as budget_use,
        redemption_z / {{ var('clv_campaign_redemption_limit') }} as redemption_excess
    from {{ ref('campaign_guardrails') }}
    where
        campaign_id in ('{{ campaign_shares() | join("', '") }}')
        or {{ add_days('last_assigned_date', var('clv_campaign_window_days')) }}
        > as_of_date

),

united as (

    select
        case when subject = 'parameters' then 'fit_age' else 'data_age' end as measure,
        subject,
        -- A missing subject is reported with the maximum age.
        coalesce(age_days / usual_days, 9999) as measured
    from {{ ref('data_freshness') }}

    union all

    select
        'coverage_rate' as measure,
        acquisition_source as subject,
        coverage_rate as measured
    from coverage
    -- The share of a small group is noise.
    where is_total or customers >= 100

    union all

    select
        'unscored_customers' as measure,
        'all' as subject,
        cast(customers - scored_customers as {{ type_double() }}) as measured
    from coverage
    where is_total

    -- The subject is the reason as a sentence.
    {%- for measure, status in {
        'withheld_horizons': 'not is_forecast', 'unchecked_horizons': "status = 'unchecked'",
    }.items() %}

    union all

    select
        '{{ measure }}' as measure,
        reason as subject,
        cast(count(*) as {{ type_double() }}) as measured
    from readiness
    where {{ status }}
    group by 2
    {%- endfor %}

    union all

    select
        'regular_customer_rate' as measure,
        coalesce(regularity.warning, 'all') as subject,
        regularity.regular_share as measured
    from {{ ref('int_purchases__regularity') }} as regularity
    inner join given
        on given.horizons > 0

    union all

    -- With the same period of last year, a change that recurs every year is not drift.
    select
        'feature_psi' as measure,
        feature as subject,
        min(psi_of_note) as measured
    from drift
    where feature != 'score'
    group by 2

    union all

    select
        'feature_level_shift' as measure,
        feature as subject,
        min(level_shift_of_note) as measured
    from drift
    where level_shift is not null
    group by 2

    union all

    select
        'score_psi' as measure,
        feature as subject,
        psi_of_note as measured
    from drift
    where feature = 'score'

    {%- for measure, expression in {
        'brier_skill': 'brier_skill',
        'calibration_error': 'error_of_note',
        'largest_calibration_error': 'largest_error_of_note',
        'purchase_bias': 'purchase_bias_of_note',
    }.items() %}

    union all

    select
        '{{ measure }}' as measure,
        '90d' as subject,
        {{ expression }} as measured
    from calibration
    {%- endfor %}

    union all

    select
        'tracking_error_in_sample' as measure,
        'all' as subject,
        sum(abs(tracking.expected_cumulative - tracking.actual_cumulative))
        / nullif(sum(tracking.actual_cumulative), 0) as measured
    from tracking
    inner join followed
        on tracking.cutoff_date = followed.cutoff_date
    where tracking.is_in_sample

    union all

    select
        'tracking_error_after' as measure,
        'all' as subject,
        sum(abs(tracking.expected_cumulative - tracking.actual_cumulative))
        / nullif(sum(tracking.actual_cumulative), 0) as measured
    from tracking
    inner join followed
        on tracking.cutoff_date = followed.cutoff_date
    where not tracking.is_in_sample

    union all

    select
        'flagged_fits' as measure,
        'all' as subject,
        cast(sum(case when is_flagged then 1 else 0 end) as {{ type_double() }})
            as measured
    from {{ ref('model_parameters') }}
    where is_production

    union all

    -- Of the stratum furthest from 0, which the models assume.
    select
        'rate_value_correlation' as measure,
        'all' as subject,
        max(abs(rate_value_correlation)) as measured
    from {{ ref('model_parameters') }}
    where is_production

    union all

    select
        'capped_value_rate' as measure,
        'all' as subject,
        1 - sum(capped_mean_value * purchase_days)
        / nullif(sum(greatest(mean_value, 0) * purchase_days), 0) as measured
    from histories

    union all

    select
        'segment_loss_rate' as measure,
        segment as subject,
        rate_left_without_purchase as measured
    from {{ ref('segment_stability') }}
    where segment = 'all'

    union all

    select
        'vip_loss_rate' as measure,
        segment as subject,
        rate_left_without_purchase as measured
    from {{ ref('segment_stability') }}
    -- The share of a small segment is noise.
    where segment = '02_loyal_vip' and customers_before >= 100

    union all

    -- Only the rise beyond the earlier maximum and beyond chance, from 30 lines on.
    select
        'lines_without_user_rise' as measure,
        'all' as subject,
        share - 3 * sqrt(share * (1 - share) / line_count) - highest_before as measured
    from guests
    where line_count >= 30

    union all

    select
        'changed_months' as measure,
        'all' as subject,
        cast(count(notice) as {{ type_double() }}) as measured
    from {{ ref('int_loads__checked') }}

    union all

    select
        'alike_ids' as measure,
        'all' as subject,
        cast(
            count(*) - count(distinct lower(replace(customer_id, ' ', '')))
            as {{ type_double() }}
        ) as measured
    from {{ ref('int_customers__profiled') }}

    union all

    select
        'largest_identity' as measure,
        'all' as subject,
        cast(max(identifiers) as {{ type_double() }}) as measured
    from identities

    union all

    select
        'merged_accounts' as measure,
        'all' as subject,
        cast(
            sum(case when accounts > 1 then accounts - 1 else 0 end)
            as {{ type_double() }}
        ) as measured
    from identities

    {%- for measure in ['budget_use', 'redemption_excess'] %}

    union all

    select
        'campaign_{{ measure }}' as measure,
        subject,
        {{ measure }} as measured
    from campaigns
    {%- endfor %}

)

select
    united.measure,
    united.subject,
    united.measured,
    case
        when
            united.measure in (
                {%- for measure in measured_in_full_runs %}
                '{{ measure }}'{{ ',' if not loop.last }}
                {%- endfor %}
            )
            then full_run.as_of_date
        else as_of.as_of_date
    end as as_of_date
from united
cross join {{ ref('int_as_of') }} as as_of
cross join {{ ref('int_closed_until') }} as full_run
where united.measured is not null
