{#
    Customers that a campaign needs in each of two equal arms to detect a lift of their mean value by 5,
    10 and 20 %, with the variance of the latest backtest window of `days` days:
        dbt run-operation plan_campaign --args '{days: 90}'
    Without and with the CLV at the cutoff as covariate, as campaign_uplift uses it. Logs where the shop
    has too few customers, and the smallest lift that all of them can detect.
#}
{% macro plan_campaign(days=90) %}
    {%- if days not in shaped('clv_horizons') -%}
        {%- do exceptions.raise_compiler_error(
            'clv: days must be one of ' ~ shaped('clv_horizons') | join(', ') ~ ' (var clv_horizons).'
        ) -%}
    {%- endif -%}
    {%- set value = 'cast(outcomes.value_' ~ days ~ 'd as ' ~ type_double() ~ ')' -%}
    {%- set clv = 'coalesce(predictions.clv_' ~ days ~ 'd, 0)' -%}
    {%- set lifts = [5, 10, 20] -%}
    {%- set windows -%}
        select
            outcomes.cutoff_date,
            count(*) as customers,
            avg({{ value }}) as mean_value,
            var_samp({{ value }}) as variance,
            coalesce(power(corr({{ value }}, {{ clv }}), 2), 0) as rho_squared
        from {{ ref('int_histories__held_out') }} as outcomes
        left join {{ ref('int_predictions__scored') }} as predictions
            on
                outcomes.customer_id = predictions.customer_id
                and outcomes.cutoff_date = predictions.cutoff_date
                and predictions.is_current_spec
        where outcomes.value_{{ days }}d is not null
        group by 1
        qualify row_number() over (order by outcomes.cutoff_date desc) = 1
    {%- endset -%}
    {%- set plan -%}
        select
            cutoff_date,
            customers,
            rho_squared,
            mean_value,
            {%- for covariate in [0, 'rho_squared'] %}
            -- The size is inversely proportional to the square of the lift.
            100 * sqrt({{ customers_per_arm('mean_value', 'variance', 1, covariate) }} * 2 / customers),
            {%- for lift in lifts %}
            ceil({{ customers_per_arm('mean_value', 'variance', lift / 100, covariate) }}),
            {%- endfor %}
            {%- endfor %}
            variance
        from ({{ windows }}) as windows
        where mean_value > 0 and variance > 0
    {%- endset -%}
    {%- set rows = run_query(plan).rows -%}
    {%- if rows | length == 0 -%}
        {%- do exceptions.raise_compiler_error(
            'clv: no backtest window of ' ~ days ~ ' days has ended with value above zero: '
            ~ 'var clv_backtest_days.'
        ) -%}
    {%- endif -%}
    {%- set row = rows[0] -%}
    {%- set customers = row[1] | int -%}
    {{ log(
        'clv: sizes for a test of two equal arms, control and treated, on the mean value of ' ~ days
        ~ ' days: power 80 %, two-sided alpha 5 %.', info=true
    ) }}
    {{ log(
        'clv: as in the ' ~ days ~ ' days after ' ~ row[0] ~ ': ' ~ '{:,}'.format(customers)
        ~ ' customers, mean value ' ~ '{:,.2f}'.format(row[3] | float)
        ~ ', of whose variance CLV explains ' ~ (100 * (row[2] | float)) | round(1) ~ ' %.',
        info=true
    ) }}
    {%- for lift in lifts %}
    {%- set plain = row[4 + loop.index] | int -%}
    {%- set adjusted = row[5 + lifts | length + loop.index] | int -%}
    {%- if 2 * adjusted > customers -%}
        {%- set verdict = ' The shop has too few customers: ' ~ '{:,}'.format(customers) ~ '.' -%}
    {%- elif 2 * plain > customers -%}
        {%- set verdict = ' The shop has enough, ' ~ '{:,}'.format(customers) ~ ', with CLV only.' -%}
    {%- else -%}
        {%- set verdict = '' -%}
    {%- endif -%}
    {{ log(
        'clv: to detect a difference of ' ~ lift ~ ' % it needs 2 x ' ~ '{:,}'.format(plain)
        ~ ' customers, or 2 x ' ~ '{:,}'.format(adjusted) ~ ' with CLV as covariate.' ~ verdict,
        info=true
    ) }}
    {%- endfor %}
    {{ log(
        'clv: all ' ~ '{:,}'.format(customers) ~ ' customers in two arms detect a difference of '
        ~ (row[4] | float) | round(1) ~ ' % or more, of '
        ~ (row[5 + lifts | length] | float) | round(1) ~ ' % with CLV.', info=true
    ) }}
{% endmacro %}
