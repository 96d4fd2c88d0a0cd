-- grain: one row per linked identifier, with the customer it belongs to
-- The customer is the smallest user id of the connected component: label propagation, in which every hop
-- passes the smallest label so far to the neighbours. Unrolled because `with recursive` differs between
-- warehouses; each hop reads only the one before it, so the work is linear in the number of hops.
{%- set hops = 12 %}
{{ config(post_hook='{{ refuse_long_chains(' ~ hops ~ ') }}') }}
with links as (

    select
        identifier,
        linked_identifier
    from {{ ref('int_identifiers__linkable') }}

),

-- Only user ids may name a customer: other identifiers can be e-mail addresses or phones.
hop_0 as (

    select
        identifier,
        min(case when is_user_id then identifier end) as customer_id
    from {{ ref('int_identifiers__linkable') }}
    group by 1

),
{% for hop in range(1, hops + 1) %}
hop_{{ hop }} as (

    select
        links.identifier,
        min(reached.customer_id) as customer_id
    from links
    inner join hop_{{ hop - 1 }} as reached
        on links.linked_identifier = reached.identifier
    group by 1

){{ ',' if not loop.last }}
{% endfor %}
select
    identifier,
    customer_id
from hop_{{ hops }}
