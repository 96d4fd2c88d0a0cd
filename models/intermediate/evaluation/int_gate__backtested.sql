-- grain: one row per check of this run's spec against the champion, on outcomes after the gate's cutoff
-- The gate evaluates the spec as fitted at the gate's cutoff, not the newest parameters. The champion
-- is represented by its own parameters if they are that old, else by its spec fitted at that cutoff:
-- this run's spec if it is the same, else the challenger with the champion's purchase model.
{%- set expected = 'expected_purchases_' ~ var('clv_gate_horizon_days') ~ 'd' %}
{%- set actual = 'purchases_' ~ var('clv_gate_horizon_days') ~ 'd' %}
{%- set is_valued = var('clv_value') != 'none' %}
{#- The relative excess over the champion's loss that the candidate may have, at the upper 95 % bound; a few
    large orders make squared errors noisier. #}
{%- set losses = {'deviance': 0.005, 'squared_error': 0.01} if is_valued else {'deviance': 0.005} %}
with gate as (

    select cutoff_date
    from {{ ref('int_gate__cutoff') }}

),

champion as (

    select distinct
        versions.model_version,
        concat(
            versions.purchase_model,
            case when versions.season is null then '' else '_season' end
        ) as challenger,
        versions.spec
    from {{ source('clv_state', 'registry_parameters') }} as versions
    inner join {{ ref('int_registry__statuses') }} as statuses
        on versions.model_version = statuses.model_version
    where statuses.role = 'champion'

),

contenders as (

    select distinct
        parameters.model_version,
        case
            when parameters.model_version = champion.model_version then 1
            when
                parameters.is_current_spec and champion.spec = '{{ model_spec() }}'
                then 2
            when parameters.model_version = champion.challenger then 3
        end as rank_as_champion
    from {{ ref('int_parameters') }} as parameters
    inner join gate
        on parameters.cutoff_date = gate.cutoff_date
    cross join champion

),

champion_version as (

    select model_version
    from contenders
    where rank_as_champion is not null
    qualify row_number() over (order by rank_as_champion) = 1

),

predictions as (

    select
        scored.customer_id,
        scored.cutoff_date,
        scored.model_version,
        scored.is_current_spec,
        -- Deviance and ratio need an expectation above zero.
        greatest(scored.{{ expected }}, 1e-12) as expected_purchases,
        scored.expected_value_{{ var('clv_gate_horizon_days') }}d as expected_value
    from {{ ref('int_predictions__expected') }} as scored
    inner join gate
        on scored.cutoff_date = gate.cutoff_date
    where {{ before_as_of('scored.cutoff_date') }}

),

paired as (

    select
        outcomes.{{ actual }} as purchases,
        {%- if is_valued %}
        cast(outcomes.value_{{ var('clv_gate_horizon_days') }}d as {{ type_double() }})
            as value_amount,
        {%- endif %}
        ours.expected_purchases,
        ours.expected_value,
        theirs.expected_purchases as champion_purchases,
        theirs.expected_value as champion_value
    from predictions as ours
    inner join {{ ref('int_histories__held_out') }} as outcomes
        on
            ours.customer_id = outcomes.customer_id
            and ours.cutoff_date = outcomes.cutoff_date
    inner join predictions as theirs
        on ours.customer_id = theirs.customer_id
    inner join champion_version
        on theirs.model_version = champion_version.model_version
    where ours.is_current_spec

),

losses as (

    select
        *,
        2 * (
            purchases * ln(champion_purchases / expected_purchases)
            + expected_purchases - champion_purchases
        ) as deviance_difference,
        {%- if is_valued %}
        power(value_amount - expected_value, 2)
        - power(value_amount - champion_value, 2) as squared_error_difference,
        power(value_amount - champion_value, 2) as champion_squared_error,
        {%- endif %}
        2 * (
            case
                when purchases > 0 then purchases * ln(purchases / champion_purchases)
                else 0
            end
            - purchases + champion_purchases
        ) as champion_deviance
    from paired

),

-- The upper end of a one-sided 95 % interval of the mean difference, relative to the champion's loss.
summed as (

    select
        {%- for loss in losses %}
        (
            avg({{ loss }}_difference)
            + 1.645 * stddev_samp({{ loss }}_difference) / sqrt(count(*))
        ) / nullif(avg(champion_{{ loss }}), 0) as {{ loss }},
        {%- endfor %}
        {%- if is_valued %}
        sum(expected_value) / nullif(sum(value_amount), 0) - 1 as bias,
        sum(champion_value) / nullif(sum(value_amount), 0) - 1 as champion_bias
        {%- else %}
        sum(expected_purchases) / nullif(sum(purchases), 0) - 1 as bias,
        sum(champion_purchases) / nullif(sum(purchases), 0) - 1 as champion_bias
        {%- endif %}
    from losses

),

checks as (

    {%- for loss in losses %}
    select
        '{{ loss }}' as check_name,
        {{ loss }} as value,
        {{ losses[loss] }} as highest
    from summed

    union all
    {% endfor %}
    select
        'bias' as check_name,
        abs(bias) as value,
        greatest(abs(champion_bias), 0.10) + 0.02 as highest
    from summed

)

select
    check_name,
    value,
    highest,
    -- A check that cannot be computed fails.
    coalesce(value <= highest, false) as is_passed
from checks
