-- grain: one row per customer and cutoff: numeric features from data up to the cutoff
-- The same definition serves training, backtest and production. Backtest cutoffs, where the overlay is
-- trained and evaluated, hold a stable sample of the customers; the last cutoff holds all but those on a plan.
-- Undefined features, such as the interval between purchases of one-time customers, are null.
{%- set windows, sampled_customers = [30, 60, 90, 180], 100000 %}
{%- set horizon = var('clv_gate_horizon_days') %}
{%- set profile = {
    'country': 'coalesce(profiled.country, profiled.first_country)',
    'device': 'profiled.device',
    'channel': 'profiled.first_channel',
    'source': 'profiled.acquisition_source',
} %}
{%- set double = type_double() %}
with histories as (

    select *
    from {{ ref('int_histories__observed') }}
    where is_on_plan is not true

),

sizes as (

    select
        cutoffs.cutoff_date,
        cutoffs.is_production,
        count(*) as customers
    from histories
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on histories.cutoff_date = cutoffs.cutoff_date
    group by 1, 2

),

observed as (

    select histories.*
    from histories
    inner join sizes
        on histories.cutoff_date = sizes.cutoff_date
    where
        sizes.is_production
        or {{ hash_bucket('histories.customer_id', 100000) }}
        < 100000.0 * {{ sampled_customers }} / sizes.customers

),

identities as (

    select
        identifier,
        customer_id
    from {{ ref('int_identities__resolved') }}

),

ranked_days as (

    select
        purchase_days.customer_id,
        observed.cutoff_date,
        purchase_days.purchase_date,
        cast(purchase_days.value_amount as {{ double }}) as amount,
        {{ days_between('purchase_days.purchase_date', 'observed.cutoff_date') }}
            as days_ago,
        {{ days_between(
            'lag(purchase_days.purchase_date) over (
                partition by purchase_days.customer_id, observed.cutoff_date
                order by purchase_days.purchase_date
            )', 'purchase_days.purchase_date'
        ) }} as gap_days,
        row_number() over (
            partition by purchase_days.customer_id, observed.cutoff_date
            order by purchase_days.purchase_date
        ) as number,
        row_number() over (
            partition by purchase_days.customer_id, observed.cutoff_date
            order by purchase_days.purchase_date desc
        ) as number_from_last
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join observed
        on
            purchase_days.customer_id = observed.customer_id
            and {{ known_at('observed.cutoff_date') }}
    where purchase_days.is_purchase

),

purchases as (

    select
        customer_id,
        cutoff_date,
        avg(gap_days) as gap_mean_days,
        stddev_samp(gap_days) as gap_deviation,
        max(gap_days) as gap_max_days,
        max(case when number_from_last = 1 then gap_days end) as gap_last_days,
        sum(amount) as value_to_date,
        avg(amount) as value_per_day,
        max(amount) as value_max,
        stddev_samp(amount) as value_deviation,
        max(case when number = 1 then amount end) as value_first,
        max(case when number_from_last = 1 then amount end) as value_last,
        avg(case when number_from_last <= 3 then amount end) as value_last_three,
        {%- for window in windows %}
        sum(case when days_ago < {{ window }} then 1 else 0 end)
            as purchase_days_{{ window }}d,
        sum(case when days_ago < {{ window }} then amount else 0 end)
            as value_{{ window }}d,
        {%- endfor %}
        sum(case when days_ago >= 30 and days_ago < 60 then 1 else 0 end)
            as purchase_days_30d_before,
        sum(case when days_ago >= 30 and days_ago < 60 then amount else 0 end)
            as value_30d_before,
        sum(case when days_ago < {{ horizon }} then amount else 0 end)
            as value_last_horizon,
        max(case when number = 1 then days_ago end) >= {{ horizon }} as is_older
    from ranked_days
    group by 1, 2

),

lines as (

    select
        transactions.customer_id,
        observed.cutoff_date,
        transactions.is_refund,
        transactions.category,
        transactions.sku,
        transactions.line_count,
        transactions.transaction_date,
        coalesce(
            transactions.order_id,
            cast(transactions.transaction_date as {{ type_text() }})
        ) as order_id,
        cast(transactions.revenue_amount as {{ double }}) as revenue,
        cast(transactions.discount_amount as {{ double }}) as discount,
        {{ days_between('transactions.transaction_date', 'observed.cutoff_date') }}
            as days_ago
    from {{ ref('int_transactions__resolved') }} as transactions
    inner join observed
        on
            transactions.customer_id = observed.customer_id
            and transactions.transaction_date <= observed.cutoff_date
    where transactions.is_counted

),

baskets as (

    select
        customer_id,
        cutoff_date,
        sum(revenue) as revenue,
        sum(case when discount > 0 then revenue else 0 end) as discounted_revenue,
        sum(discount) as discount,
        sum(case when days_ago < 30 then revenue else 0 end) as revenue_30d,
        sum(case when days_ago < 30 and discount > 0 then revenue else 0 end)
            as discounted_revenue_30d,
        count(distinct order_id) as orders,
        count(distinct case when discount > 0 then order_id end) as discounted_orders,
        count(distinct category) as categories,
        count(distinct case when days_ago < 30 then category end) as categories_30d,
        count(distinct sku) as products,
        sum(line_count) as line_count
    from lines
    where not is_refund
    group by 1, 2

),

category_totals as (

    select
        customer_id,
        cutoff_date,
        category,
        sum(revenue) as revenue
    from lines
    where not is_refund and category is not null and revenue > 0
    group by 1, 2, 3

),

concentrations as (

    select
        customer_id,
        cutoff_date,
        sum(revenue * revenue) / power(sum(revenue), 2) as category_concentration
    from category_totals
    group by 1, 2

),

refunds as (

    select
        customer_id,
        cutoff_date,
        -sum(revenue) as refunded,
        count(distinct transaction_date) as refund_days,
        min(days_ago) as days_since_refund
    from lines
    where is_refund
    group by 1, 2

),

{%- for input, table, day in [
    ('events', 'stg_events', 'events.occurred_at'),
    ('texts', 'stg_text_signals', 'texts.written_at'),
] %}

dated_{{ input }} as (

    select
        observed.customer_id,
        observed.cutoff_date,
        {%- if input == 'events' %}
        events.event_name,
        {%- else %}
        texts.sentiment,
        {%- endif %}
        {{ days_between(local_date(day), 'observed.cutoff_date') }} as days_ago
    from {{ ref(table) }} as {{ input }}
    left join identities
        on {{ input }}.user_id = identities.identifier
    inner join observed
        on
            coalesce(identities.customer_id, {{ input }}.user_id) = observed.customer_id
            and {{ local_date(day) }} <= observed.cutoff_date

),
{%- endfor %}

events as (

    select
        customer_id,
        cutoff_date,
        sum(case when days_ago < 30 then 1 else 0 end) as events_30d,
        sum(case when days_ago < 90 then 1 else 0 end) as events_90d,
        count(distinct case when days_ago < 90 then event_name end) as event_kinds_90d,
        min(days_ago) as days_since_event
    from dated_events
    group by 1, 2

),

texts as (

    select
        customer_id,
        cutoff_date,
        sum(case when days_ago < 90 then 1 else 0 end) as texts_90d,
        avg(case when days_ago < 90 then sentiment end) as sentiment_90d,
        sum(case when days_ago < 90 and sentiment < 0 then 1 else 0 end)
            as negative_texts_90d,
        min(days_ago) as days_since_text
    from dated_texts
    group by 1, 2

),

-- Target encoding: mean value of the customers of a country, device, channel or source in the last
-- horizon before the cutoff, relative to the mean of all customers; the predicted window is not used.
members as (

    select
        purchases.cutoff_date,
        {%- for name, value in profile.items() %}
        {{ value }} as {{ name }},
        {%- endfor %}
        purchases.value_last_horizon
    from purchases
    inner join {{ ref('int_customers__profiled') }} as profiled
        on purchases.customer_id = profiled.customer_id
    where purchases.is_older

),

attributes as (

    select 'everyone' as attribute
    {%- for name in profile %}
    union all
    select '{{ name }}' as attribute
    {%- endfor %}

),

attribute_values as (

    select
        members.cutoff_date,
        attributes.attribute,
        case attributes.attribute
            when 'everyone' then 'everyone'
            {%- for name in profile %}
            when '{{ name }}' then members.{{ name }}
            {%- endfor %}
        end as attribute_value,
        members.value_last_horizon
    from members
    cross join attributes

),

attribute_totals as (

    select
        attribute,
        cutoff_date,
        attribute_value,
        count(*) as customers,
        sum(value_last_horizon) as total_value,
        avg(value_last_horizon) as mean_value
    from attribute_values
    where attribute_value is not null
    group by 1, 2, 3

),

compared as (

    select
        *,
        max(case when attribute = 'everyone' then mean_value end) over (
            partition by cutoff_date
        ) as everyones_mean
    from attribute_totals

),

-- Shrunk towards the overall mean; groups below fifty customers get that mean.
worths as (

    select
        attribute,
        cutoff_date,
        attribute_value,
        (total_value + 100 * everyones_mean)
        / ((customers + 100) * everyones_mean) as worth
    from compared
    where customers >= 50 and everyones_mean > 0

),

expected as (

    select
        *,
        expected_value_{{ horizon }}d as baseline_value
    from {{ ref('int_predictions__expected') }}
    where is_current_spec

),

joined as (

    select
        observed.customer_id,
        observed.cutoff_date,
        cast(observed.frequency as {{ double }}) as frequency,
        cast(observed.recency_days as {{ double }}) as recency_days,
        cast(observed.age_days as {{ double }}) as age_days,
        observed.age_days - observed.recency_days as days_since_purchase,
        observed.order_count as orders,
        observed.purchase_days / greatest(observed.age_days / 30.0, 1)
            as purchase_days_per_month,
        purchases.gap_mean_days,
        purchases.gap_deviation / purchases.gap_mean_days as gap_variation,
        purchases.gap_max_days,
        purchases.gap_last_days,
        purchases.gap_last_days / purchases.gap_mean_days as gap_last_ratio,
        (observed.age_days - observed.recency_days) / purchases.gap_mean_days
            as overdue_ratio,
        purchases.value_to_date,
        purchases.value_per_day,
        purchases.value_to_date / greatest(observed.age_days / 30.0, 1)
            as value_per_month,
        purchases.value_max,
        purchases.value_deviation / nullif(purchases.value_per_day, 0)
            as value_variation,
        purchases.value_first,
        purchases.value_last,
        purchases.value_last_three / nullif(purchases.value_per_day, 0)
            as value_last_three_ratio,
        {%- for window in windows %}
        purchases.purchase_days_{{ window }}d,
        purchases.value_{{ window }}d,
        {%- endfor %}
        purchases.value_30d_before,
        purchases.purchase_days_30d - purchases.purchase_days_30d_before
            as purchase_days_trend,
        purchases.value_30d - purchases.value_30d_before as value_trend,
        baskets.discounted_revenue / nullif(baskets.revenue, 0) as discounted_share,
        baskets.discount / nullif(baskets.revenue + baskets.discount, 0)
            as discount_depth,
        baskets.discounted_orders / cast(baskets.orders as {{ double }})
            as discounted_order_share,
        baskets.discounted_revenue_30d / nullif(baskets.revenue_30d, 0)
            as discounted_share_30d,
        baskets.categories,
        baskets.products,
        concentrations.category_concentration,
        baskets.categories_30d,
        baskets.line_count / cast(baskets.orders as {{ double }}) as lines_per_order,
        coalesce(refunds.refunded, 0) / nullif(baskets.revenue, 0) as refunded_share,
        coalesce(refunds.refund_days, 0) as refund_days,
        refunds.days_since_refund,
        {%- for name in profile %}
        coalesce({{ name }}_worths.worth, 1) as {{ name }}_worth,
        {%- endfor %}
        coalesce(events.events_30d, 0) as events_30d,
        coalesce(events.events_90d, 0) as events_90d,
        coalesce(events.event_kinds_90d, 0) as event_kinds_90d,
        events.days_since_event,
        coalesce(texts.texts_90d, 0) as texts_90d,
        texts.sentiment_90d,
        coalesce(texts.negative_texts_90d, 0) as negative_texts_90d,
        texts.days_since_text,
        expected.probability_alive,
        expected.probability_purchase_{{ horizon }}d as probability_purchase,
        expected.expected_purchases_{{ horizon }}d as expected_purchases,
        expected.expected_value,
        expected.baseline_value,
        expected.frequency_class
    from observed
    inner join purchases
        on
            observed.customer_id = purchases.customer_id
            and observed.cutoff_date = purchases.cutoff_date
    inner join expected
        on
            observed.customer_id = expected.customer_id
            and observed.cutoff_date = expected.cutoff_date
    {%- for part in ['baskets', 'concentrations', 'refunds', 'events', 'texts'] %}
    left join {{ part }}
        on
            observed.customer_id = {{ part }}.customer_id
            and observed.cutoff_date = {{ part }}.cutoff_date
    {%- endfor %}
    left join {{ ref('int_customers__profiled') }} as profiled
        on observed.customer_id = profiled.customer_id
    {%- for name, value in profile.items() %}
    left join worths as {{ name }}_worths
        on
            {{ name }}_worths.attribute = '{{ name }}'
            and {{ name }}_worths.cutoff_date = observed.cutoff_date
            and {{ name }}_worths.attribute_value = {{ value }}
    {%- endfor %}

)

select
    customer_id,
    frequency_class,
    {%- for feature in overlay_features() %}
    cast({{ feature }} as {{ double }}) as {{ feature }},
    {%- endfor %}
    cutoff_date
from joined
