-- Two linked ids are one customer, and every linked id has a customer. If this fails, raise `hops` in
-- int_identities__resolved, which stopped before the labels had reached the end of a chain.
select
    links.identifier,
    links.linked_identifier,
    near_end.customer_id,
    far_end.customer_id as linked_customer_id
from {{ ref('int_identifiers__linkable') }} as links
left join {{ ref('int_identities__resolved') }} as near_end
    on links.identifier = near_end.identifier
left join {{ ref('int_identities__resolved') }} as far_end
    on links.linked_identifier = far_end.identifier
where not coalesce(near_end.customer_id = far_end.customer_id, false)
