-- grain: one row per period, feature and value, with its number of customers
-- Money is binned by logarithm, in steps of 2 %: relative changes count, and the rows stay few. Gaps of a monthly
-- log are months of one length: those of February are no change of customers. Daily runs do not rebuild it.
with observed as (

    select *
    from {{ ref('int_drift__observed') }}

),

histories as (

    select
        windows.period,
        histories.mean_value,
        histories.purchase_days,
        histories.recency_days,
        histories.age_days,
        {{ days_between('histories.last_purchase_date', 'histories.cutoff_date') }}
            as days_since_last_purchase,
        histories.cutoff_date
    from {{ ref('int_histories__observed') }} as histories
    inner join {{ ref('int_drift__windows') }} as windows
        on histories.cutoff_date = windows.cutoff_date
    where histories.is_on_plan is not true

),

counted as (

    {%- set money %}round(50 * ln(greatest(cast({} as {{ type_double() }}), 0.01))) / 50{% endset %}
    {%- set days -%}
    {{ month_days() ~ ' * round({} / ' ~ month_days() ~ ')' if is_monthly() else '{}' }}
    {%- endset %}
    {%- for source, feature, is_clock, number, label in [
        ('observed', 'order_value', false, money.replace('{}', 'order_value'), none),
        ('observed', 'gap_days', false, days.replace('{}', 'gap_days'), none),
        ('observed', 'channel', false, none, 'channel'),
        ('observed', 'country', false, none, 'country'),
        ('observed', 'category', false, none, 'category'),
        ('histories', 'mean_value', false, money.replace('{}', 'mean_value'), none),
        ('histories', 'purchase_days', true, 'purchase_days', none),
        ('histories', 'recency_days', true, 'recency_days', none),
        ('histories', 'age_days', true, 'age_days', none),
        ('histories', 'days_since_last_purchase', true, 'days_since_last_purchase', none),
    ] %}
    select
        period,
        '{{ feature }}' as feature,
        {{ is_clock | lower }} as is_clock,
        cast({{ number or 'null' }} as {{ type_double() }}) as number,
        cast({{ label or 'null' }} as {{ type_text() }}) as label,
        count(*) as customers,
        max(cutoff_date) as cutoff_date
    from {{ source }}
    group by 1, 2, 3, 4, 5
    {{- '\n\n    union all\n' if not loop.last }}
    {%- endfor %}

)

select
    {{ surrogate_key([
        'period', 'feature', 'cast(round(100 * number) as ' ~ type_integer() ~ ')', 'label'
    ]) }} as histogram_id,
    period,
    feature,
    is_clock,
    number,
    label,
    cast(customers as {{ type_integer() }}) as customers,
    cutoff_date
from counted
