-- grain: one row per customer with a score: that of the version that serves her
-- The canary serves a stable share of customers, the champion the others.
with serving as (

    select *
    from {{ ref('int_serving') }}

),

champion as (

    select model_version
    from serving
    where status = 'champion'

),

-- Without a canary nobody is her.
canary as (

    select
        max(model_version) as model_version,
        coalesce(max(share), 0) as share
    from serving
    where status = 'canary'

)

-- The columns are those of int_predictions__scored.
select scores.* -- noqa: AM04
from {{ ref('int_scores') }} as scores
cross join champion
cross join canary
where
    scores.model_version
    = case
        when {{ hash_bucket('scores.customer_id', 1000) }} < 1000 * canary.share
            then canary.model_version
        else champion.model_version
    end
