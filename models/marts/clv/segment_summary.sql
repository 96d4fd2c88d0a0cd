-- grain: one row per scheme and segment
{%- set is_priced = var('clv_value') != 'none' %}
with customer_segments as (

    select *
    from {{ ref('customer_segments') }}

),

predictions as (

    select *
    from {{ ref('customer_lifetime_value') }}

),

histories as (

    select *
    from {{ ref('int_customers__current') }}

),

as_of as (

    select as_of_date
    from {{ ref('int_as_of') }}

),

-- The expectation of a segment without customers: 0, or null if forecasts are withheld.
nobody as (

    select max(case when is_forecast then 0 end) as expected
    from {{ ref('int_readiness') }}
    where is_production

),

segments as (

    select
        'clv' as scheme,
        clv_segment as segment,
        label,
        priority,
        next_best_action
    from {{ ref('clv_segments') }}

    union all

    select distinct
        'rfm' as scheme,
        segment,
        segment as label,
        cast(null as {{ type_integer() }}) as priority,
        cast(null as {{ type_text() }}) as next_best_action
    from {{ ref('rfm_segments') }}

),

members as (

    {%- for scheme in ['clv', 'rfm'] %}
    select
        customer_id,
        '{{ scheme }}' as scheme,
        {{ scheme }}_segment as segment
    from customer_segments
    where {{ scheme }}_segment is not null
    {{- '\n\n    union all\n' if not loop.last }}
    {%- endfor %}

),

summed as (

    select
        members.scheme,
        members.segment,
        count(*) as customers,
        sum(histories.value_amount) as value_amount,
        sum(histories.purchase_days) as purchase_days,
        sum(predictions.expected_purchases_365d) as expected_purchases_365d,
        sum(predictions.clv_365d) as clv_365d
    from members
    inner join predictions
        on members.customer_id = predictions.customer_id
    left join histories
        on members.customer_id = histories.customer_id
    group by 1, 2

),

filled as (

    select
        segments.*,
        as_of.as_of_date,
        coalesce(summed.customers, 0) as customers,
        {%- if is_priced %}
        coalesce(summed.value_amount, 0) as value_amount,
        coalesce(summed.clv_365d, nobody.expected) as clv_365d,
        coalesce(summed.value_amount, 0) as value_to_date,
        coalesce(summed.clv_365d, nobody.expected) as expected_value,
        {%- else %}
        summed.value_amount,
        summed.clv_365d,
        -- Without money expected purchases stand in for value.
        coalesce(summed.purchase_days, 0) as value_to_date,
        coalesce(summed.expected_purchases_365d, nobody.expected) as expected_value,
        {%- endif %}
        coalesce(summed.expected_purchases_365d, nobody.expected)
            as expected_purchases_365d
    from segments
    cross join as_of
    cross join nobody
    left join summed
        on
            segments.scheme = summed.scheme
            and segments.segment = summed.segment

)

select
    scheme,
    segment,
    label,
    priority,
    as_of_date,
    customers,
    {{ as_money('value_amount') }} as value_amount,
    expected_purchases_365d,
    clv_365d,
    {%- for share, measure in {
        'customers': 'customers', 'value': 'value_to_date', 'expected_value': 'expected_value',
    }.items() %}
    cast({{ measure }} as {{ type_double() }})
    / nullif(
        sum(cast({{ measure }} as {{ type_double() }})) over (partition by scheme), 0
    )
        as share_of_{{ share }},
    {%- endfor %}
    next_best_action
from filled
