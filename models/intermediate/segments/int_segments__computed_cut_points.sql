-- grain: one row per cutoff: the cut-points of the CLV segments, computed from its customers
-- Percentiles are read from histograms with bins 0.1 % wide, so that no worker has to sort every
-- customer; the cut-point is the smallest value of a customer in its bin.
{%- set percentiles = shaped('clv_segment_percentiles') %}
{#- column: (series, percentile) #}
{%- set cut_points = {
    'vip_clv': ('clv', percentiles.vip),
    'notable_clv': ('clv', percentiles.notable),
    'valuable_clv': ('clv', percentiles.valuable),
    'historic_value': ('historic_value', percentiles.historic),
    'outlier_value_365d': ('value_365d', percentiles.outlier),
    'outlier_purchases_365d': ('purchases_365d', percentiles.outlier),
    'outlier_mean_value': ('mean_value', percentiles.outlier),
    'active_promising_clv': ('active_one_time_clv', percentiles.promising),
    'any_promising_clv': ('one_time_clv', percentiles.promising),
} %}
{#- series: (measure, which customers) #}
{%- set is_active -%}
    days_since_last_purchase
    <= {{ shaped('clv_at_risk_thresholds').one_time_share }} * inactivity_days
{%- endset %}
{%- set series = {
    'clv': ('clv', 'true'),
    'historic_value': ('historic_value', 'true'),
    'value_365d': ('value_365d', 'true'),
    'purchases_365d': ('purchases_365d', 'true'),
    'mean_value': ('mean_value', 'true'),
    'active_one_time_clv': ('clv', 'purchase_days = 1 and ' ~ is_active),
    'one_time_clv': ('clv', 'purchase_days = 1'),
} %}
with inactivity as (

    select *
    from {{ ref('int_segments__inactivity') }}

),

-- Only customers of the statistics window count.
customers as (

    select
        measured.*,
        inactivity.inactivity_days
    from {{ ref('int_segments__measured') }} as measured
    inner join inactivity
        on measured.cutoff_date = inactivity.cutoff_date
    where
        not measured.is_suppressed
        and measured.days_since_last_purchase
        <= {{ statistics_window_days() }}

),

histogram as (

    {%- for name, (measure, condition) in series.items() %}
    select
        cutoff_date,
        '{{ name }}' as series,
        case
            when {{ measure }} > 0
                then cast(floor(ln({{ measure }}) * 1000) as {{ type_integer() }})
        end as bin,
        min({{ measure }}) as lowest_value,
        count(*) as customers
    from customers
    where {{ measure }} is not null and {{ condition }}
    group by 1, 2, 3
    {{- '\n\n    union all\n' if not loop.last }}
    {%- endfor %}

),

cumulated as (

    select
        cutoff_date,
        series,
        lowest_value,
        sum(customers) over (
            partition by cutoff_date, series
            order by lowest_value
            rows between unbounded preceding and current row
        ) as customers_up_to,
        sum(customers) over (partition by cutoff_date, series) as customers
    from histogram

),

pivoted as (

    select
        cutoff_date,
        {%- for column, (series, percentile) in cut_points.items() %}
        min(
            case
                when
                    series = '{{ series }}'
                    and customers_up_to >= {{ percentile }} * customers
                    then lowest_value
            end
        ) as {{ column }},
        {%- endfor %}
        max(case when series = 'active_one_time_clv' then customers end)
            as active_one_time_customers
    from cumulated
    group by 1

)

select
    inactivity.cutoff_date,
    {%- for column in cut_points if not column.endswith('promising_clv') %}
    pivoted.{{ column }},
    {%- endfor %}
    -- With 50 or fewer active one-time customers, all one-time customers are used.
    case
        when pivoted.active_one_time_customers > 50 then pivoted.active_promising_clv
        else pivoted.any_promising_clv
    end as promising_clv,
    inactivity.inactivity_days
from inactivity
left join pivoted
    on inactivity.cutoff_date = pivoted.cutoff_date
