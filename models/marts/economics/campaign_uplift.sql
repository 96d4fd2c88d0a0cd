-- grain: one row per campaign and treated arm, compared with the control arm
-- Intention to treat: customers count in the arm that they were assigned to. Two estimates of the
-- difference in mean margin: unadjusted, and adjusted for the covariate (CUPED; Deng, Xu, Kohavi &
-- Walker 2013), both with Welch's interval. Computed from moments per arm.
{%- set methods = ['raw', 'adjusted'] %}
with plans as (

    select *
    from {{ ref('campaign_plans') }}

),

guardrails as (

    select *
    from {{ ref('campaign_guardrails') }}

),

arms as (

    select
        campaign_id,
        arm,
        count(*) as customers,
        avg(cast(margin_amount as {{ type_double() }})) as mean_margin,
        var_samp(cast(margin_amount as {{ type_double() }})) as margin_variance,
        avg(covariate) as mean_covariate,
        var_samp(covariate) as covariate_variance,
        covar_samp(cast(margin_amount as {{ type_double() }}), covariate) as covariance,
        sum(cost_amount) as cost_amount,
        sum(case when is_in_two_arms then 1 else 0 end) as in_two_arms,
        min(case when is_completed then 1 else 0 end) = 1 as is_completed,
        min(covariate_source) as covariate_source,
        min(assigned_date) as first_assigned_date,
        max(assigned_date) as last_assigned_date,
        max(cutoff_date) as cutoff_date
    from {{ ref('int_campaigns__outcomes') }}
    group by 1, 2

),

-- Sample ratio: chi-squared with one degree of freedom, against the planned shares of the two arms.
compared as (

    select
        treated.campaign_id,
        treated.arm,
        treated.customers as treated_customers,
        treated.mean_margin as treated_mean,
        treated.margin_variance as treated_variance,
        treated.mean_covariate as treated_covariate,
        treated.covariate_variance as treated_covariate_variance,
        treated.covariance as treated_covariance,
        control.customers as control_customers,
        control.mean_margin as control_mean,
        control.margin_variance as control_variance,
        control.mean_covariate as control_covariate,
        control.covariate_variance as control_covariate_variance,
        control.covariance as control_covariance,
        treated.in_two_arms + coalesce(control.in_two_arms, 0) as in_two_arms,
        treated.is_completed and control.is_completed as is_completed,
        treated.covariate_source,
        treated.cutoff_date,
        treated.cost_amount,
        cast(treated.cost_amount as {{ type_double() }}) / treated.customers
        - cast(coalesce(control.cost_amount, 0) as {{ type_double() }})
        / control.customers as cost_per_customer,
        treated_plans.planned_lift,
        treated_plans.planned_cost_amount,
        guardrails.is_over_budget,
        guardrails.is_frozen,
        treated.first_assigned_date,
        treated.last_assigned_date,
        power(
            treated.customers * control_plans.planned_share
            - control.customers * treated_plans.planned_share, 2
        ) / (
            (treated.customers + control.customers)
            * control_plans.planned_share * treated_plans.planned_share
        ) as ratio_chi_squared
    from arms as treated
    left join arms as control
        on
            treated.campaign_id = control.campaign_id
            and control.arm = 'control'
    left join plans as treated_plans
        on
            treated.campaign_id = treated_plans.campaign_id
            and treated.arm = treated_plans.arm
    left join plans as control_plans
        on
            treated.campaign_id = control_plans.campaign_id
            and control_plans.arm = 'control'
    left join guardrails
        on
            treated.campaign_id = guardrails.campaign_id
            and treated.arm = guardrails.arm
    where treated.arm != 'control'

),

-- Sums of squares within the arms.
pooled as (

    select
        *,
        {%- for total, moment in {
            'squares_y': 'variance', 'squares_x': 'covariate_variance',
            'products': 'covariance',
        }.items() %}
        (treated_customers - 1) * treated_{{ moment }}
        + (control_customers - 1) * control_{{ moment }} as {{ total }},
        {%- endfor %}
        case
            when ratio_chi_squared > 10.828 then 'failed'
            when ratio_chi_squared <= 10.828 then 'passed'
            else 'unplanned'
        end as ratio_check
    from compared

),

fitted as (

    select
        *,
        0.0 as theta_raw,
        products / nullif(squares_x, 0) as theta_adjusted,
        power(products, 2) / nullif(squares_x * squares_y, 0) as rho_squared
    from pooled

),

-- No estimates for a test with a sample ratio mismatch.
differences as (

    select
        *,
        {%- for method in methods %}
        case
            when ratio_check != 'failed'
                then
                    treated_mean - control_mean
                    - theta_{{ method }} * (treated_covariate - control_covariate)
        end as uplift_{{ method }},
        {%- for arm in ['treated', 'control'] %}
        abs(
            {{ arm }}_variance - 2 * theta_{{ method }} * {{ arm }}_covariance
            + power(theta_{{ method }}, 2) * {{ arm }}_covariate_variance
        ) / {{ arm }}_customers as {{ arm }}_square_{{ method }},
        {%- endfor %}
        {%- endfor %}
        coalesce(rho_squared >= 0.05, false) as is_adjusted
    from fitted

),

measured as (

    select
        {%- for method in methods %}
        sqrt(treated_square_{{ method }} + control_square_{{ method }})
            as error_{{ method }},
        power(treated_square_{{ method }} + control_square_{{ method }}, 2)
        / nullif(
            {%- for arm in ['treated', 'control'] %}
            {{ '+ ' if not loop.first }}power({{ arm }}_square_{{ method }}, 2)
            / nullif({{ arm }}_customers - 1, 0)
            {%- endfor %}, 0
        ) as degrees_{{ method }},
        {%- endfor %}
        *
    from differences

),

bounded as (

    select
        {%- for method in methods %}
        {{ student_quantile('0.05', 'degrees_' ~ method) | indent(4) }}
        * error_{{ method }} as reach_{{ method }},
        {%- endfor %}
        *
    from measured

),

chosen as (

    select
        *,
        {%- for measure in ['uplift', 'reach', 'error'] %}
        case when is_adjusted then {{ measure }}_adjusted else {{ measure }}_raw end
            as {{ measure }},
        {%- endfor %}
        -- The planned lift on the expected value of the treated without treatment.
        case
            when covariate_source = 'clv' then planned_lift * treated_covariate
        end as predicted_uplift,
        coalesce(
            cast(planned_cost_amount as {{ type_double() }}) / treated_customers,
            cost_per_customer
        ) as planned_cost_per_customer
    from bounded

)

select
    campaign_id,
    arm,
    case
        when is_frozen then 'frozen'
        when is_over_budget then 'over_budget'
        when ratio_check = 'failed' then 'void'
        when not is_completed then 'waiting'
        when cost_per_customer is null or uplift + reach is null then 'unknown'
        when uplift + reach < cost_per_customer then 'loses'
        when uplift - reach > cost_per_customer then 'pays'
        else 'undecided'
    end as verdict,
    treated_customers,
    control_customers,
    cast(coalesce(in_two_arms, 0) as {{ type_integer() }}) as customers_in_two_arms,
    ratio_check,
    ratio_chi_squared,
    treated_mean as treated_mean_margin,
    control_mean as control_mean_margin,
    uplift,
    uplift - reach as uplift_lower_95,
    uplift + reach as uplift_upper_95,
    uplift_raw,
    uplift_raw - reach_raw as uplift_raw_lower_95,
    uplift_raw + reach_raw as uplift_raw_upper_95,
    is_adjusted,
    covariate_source,
    rho_squared,
    -- Minimum detectable effect: power 80 %, two-sided 5 %.
    2.801585 * error as smallest_detectable_uplift,
    {{ as_money('cost_amount') }} as cost_amount,
    cost_per_customer,
    {{ as_money('uplift * treated_customers') }} as incremental_margin,
    -- Nothing is earned on a treatment that costs no more than the control.
    {%- for column, earned in {
        'actual_roi': 'uplift',
        'actual_roi_lower_95': '(uplift - reach)',
        'actual_roi_upper_95': '(uplift + reach)',
    }.items() %}
    case when cost_per_customer > 0 then {{ earned }} / cost_per_customer - 1 end
        as {{ column }},
    {%- endfor %}
    predicted_uplift,
    predicted_uplift / nullif(planned_cost_per_customer, 0) - 1 as predicted_roi,
    is_over_budget,
    is_frozen,
    is_completed,
    first_assigned_date,
    last_assigned_date,
    cutoff_date as covariate_date
from chosen
