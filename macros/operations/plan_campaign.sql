{#
    How many customers a campaign needs in each of two equal arms, for lifts of mean value of 5, 10
    and 20 %, if customers vary as they did in the latest backtest window of `days` days:
        dbt run-operation plan_campaign --args '{days: 90}'
    The second number is with the CLV at the cutoff as covariate, as campaign_uplift uses it.
#}
{% macro plan_campaign(days=90) %}
    {%- if days not in var('clv_horizons') -%}
        {%- do exceptions.raise_compiler_error(
            'clv: days must be one of ' ~ var('clv_horizons') | join(', ') ~ ' (var clv_horizons).'
        ) -%}
    {%- endif -%}
    {%- set value = 'cast(outcomes.value_' ~ days ~ 'd as ' ~ type_double() ~ ')' -%}
    {%- set clv = 'coalesce(predictions.clv_' ~ days ~ 'd, 0)' -%}
    {%- set windows -%}
        select
            outcomes.cutoff_date,
            count(*) as customers,
            avg({{ value }}) as mean_value,
            var_samp({{ value }}) as variance,
            power(corr({{ value }}, {{ clv }}), 2) as rho_squared
        from {{ ref('int_histories__held_out') }} as outcomes
        left join {{ ref('int_predictions__scored') }} as predictions
            on
                outcomes.customer_id = predictions.customer_id
                and outcomes.cutoff_date = predictions.cutoff_date
                and predictions.is_recipe
        where outcomes.value_{{ days }}d is not null
        group by 1
        qualify row_number() over (order by outcomes.cutoff_date desc) = 1
    {%- endset -%}
    {%- set plan -%}
        select
            cutoff_date,
            customers,
            rho_squared,
            {%- for lift in [0.05, 0.10, 0.20] %}
            ceil({{ customers_per_arm('mean_value', 'variance', lift) }}),
            ceil({{ customers_per_arm('mean_value', 'variance', lift, 'rho_squared') }})
                {{- ',' if not loop.last }}
            {%- endfor %}
        from ({{ windows }}) as windows
    {%- endset -%}
    {%- set rows = run_query(plan).rows -%}
    {%- if rows | length == 0 -%}
        {%- do exceptions.raise_compiler_error(
            'clv: no backtest window of ' ~ days ~ ' days has ended: var clv_backtest_days.'
        ) -%}
    {%- endif -%}
    {%- set row = rows[0] -%}
    {{ log('clv: ' ~ row[1] ~ ' customers after ' ~ row[0] ~ ', CLV explains '
        ~ (100 * row[2]) | round(1) ~ ' % of the variance', info=true) }}
    {%- for lift in [5, 10, 20] %}
    {{ log('clv: to find ' ~ lift ~ ' %: ' ~ row[1 + 2 * loop.index] | int ~ ' customers per arm, '
        ~ row[2 + 2 * loop.index] | int ~ ' with CLV', info=true) }}
    {%- endfor %}
{% endmacro %}
