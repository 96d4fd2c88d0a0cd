-- grain: one row per customer whom the overlay serves and feature: its contribution to ln(factor)
-- Each split on the path through a tree changes the mean of the leaves below; the change is attributed to
-- the feature of the split, and the sum over all splits is exactly the score. Only candidate offset is
-- explained: it alone predicts the logarithm of a factor on the baseline.
with cutoffs as (

    select cutoff_date
    from {{ ref('int_cutoffs') }}
    where is_production

),

features as (

    select features.*
    from {{ ref('int_customer_features') }} as features
    inner join cutoffs
        on features.cutoff_date = cutoffs.cutoff_date

),

served as (

    select gated.customer_id
    from {{ ref('int_overlay__gated') }} as gated
    inner join cutoffs
        on gated.cutoff_date = cutoffs.cutoff_date
    where gated.is_overlay and gated.candidate = 'offset'

),

means as (

    select
        {%- for feature in overlay_features() %}
        avg({{ feature }}) as {{ feature }},
        {%- endfor %}
        count(*) as customers
    from features

),

averages as (

    select {{ overlay_vector() }} as averages
    from means

),

vectors as (

    select
        customer_id,
        cutoff_date,
        {{ overlay_vector() }} as vector
    from features

),

trees as (

    select
        trees.*,
        0 as node_0
    from {{ ref('int_overlay__packed_trees') }} as trees
    inner join cutoffs
        on trees.cutoff_date = cutoffs.cutoff_date
    where trees.component = 'offset'

),

starts as (

    select
        vectors.customer_id,
        vectors.vector,
        averages.averages,
        trees.*
    from vectors
    inner join served
        on vectors.customer_id = served.customer_id
    inner join trees
        on vectors.cutoff_date = trees.cutoff_date
    cross join averages

),

{{ overlay_descent() }}
steps as (

    {% for step in range(1, overlay_depth() + 1) -%}
    {%- set before, after = 'node_' ~ (step - 1), 'node_' ~ step -%}
    {%- set position = array_at('features', before) -%}
    select
        customer_id,
        {{ position }} as position,
        {{ array_at('node_values', after) }} - {{ array_at('node_values', before) }}
            as change,
        {{ array_at('vector', position) }} as feature_value,
        {{ array_at('averages', position) }} as average
    from step_{{ overlay_depth() }}
    where {{ after }} != {{ before }}
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

)

select
    steps.customer_id,
    names.feature,
    names.family,
    sum(steps.change) as contribution,
    -- The feature's value, the same at each split; null when it is.
    max(steps.feature_value) > max(steps.average) as is_above_average
from steps
inner join {{ ref('int_overlay__feature_names') }} as names
    on steps.position = names.position
group by 1, 2, 3
