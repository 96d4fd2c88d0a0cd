-- grain: one row per component and feature of the overlay fitted for the as-of date
-- Mean absolute change of the score at the splits on the feature, over the customers of the sample and in
-- units of the component's score; computed from the trees alone, without scoring customers.
{%- if var('clv_overlay') %}
with trees as (

    select trees.*
    from {{ ref('int_overlay__trees') }} as trees
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on trees.cutoff_date = cutoffs.cutoff_date
    where cutoffs.is_production

),

sizes as (

    select
        component,
        max(training_rows) as training_rows
    from trees
    group by 1

),

moves as (

    select
        parents.component,
        parents.feature,
        sum(children.training_rows * abs(children.value - parents.value)) as moved
    from trees as parents
    inner join trees as children
        on
            parents.component = children.component
            and parents.tree = children.tree
            and children.node in (parents.left_node, parents.right_node)
    where parents.feature is not null
    group by 1, 2

)

select
    moves.component,
    moves.feature,
    names.family,
    moves.moved / sizes.training_rows as mean_move,
    moves.moved / sum(moves.moved) over (partition by moves.component) as share_of_moves
from moves
inner join sizes
    on moves.component = sizes.component
inner join {{ ref('int_overlay__feature_names') }} as names
    on moves.feature = names.feature
{%- else %}
{{ empty_relation({
    'component': type_text(), 'feature': type_text(), 'family': type_text(),
    'mean_move': type_double(), 'share_of_moves': type_double(),
}) }}
{%- endif %}
