-- grain: one row per cutoff, component and tree: its nodes as arrays, by number
-- A few hundred rows, broadcast to every worker: customers are scored without a join per node.
select
    trees.cutoff_date,
    trees.component,
    trees.tree,
    -- A leaf names the first feature and points to itself.
    array_agg(coalesce(names.position, 0) order by trees.node) as features,
    array_agg(trees.threshold order by trees.node) as thresholds,
    array_agg(trees.is_default_left order by trees.node) as are_default_left,
    array_agg(trees.left_node order by trees.node) as left_nodes,
    array_agg(trees.right_node order by trees.node) as right_nodes,
    array_agg(trees.value order by trees.node) as node_values
from {{ ref('int_overlay__trees') }} as trees
left join {{ ref('int_overlay__feature_names') }} as names
    on trees.feature = names.feature
group by 1, 2, 3
