-- grain: one row per customer and cutoff: the sum over the trees of each component
{%- set components = overlay_components() %}
with vectors as (

    select
        customer_id,
        cutoff_date,
        {{ overlay_vector() }} as vector
    from {{ ref('int_customer_features') }}

),

trees as (

    select
        *,
        0 as node_0
    from {{ ref('int_overlay__packed_trees') }}

),

starts as (

    select
        vectors.customer_id,
        vectors.vector,
        trees.*
    from vectors
    inner join trees
        on vectors.cutoff_date = trees.cutoff_date

),

{{ overlay_descent() }}
summed as (

    select
        customer_id,
        cutoff_date,
        {%- for component in components %}
        sum(
            case
                when component = '{{ component }}'
                    then {{ array_at('node_values', 'node_' ~ overlay_depth()) }}
            end
        ) as {{ component }}_score,
        {%- endfor %}
        count(*) as trees
    from step_{{ overlay_depth() }}
    group by 1, 2

)

select *
from summed
