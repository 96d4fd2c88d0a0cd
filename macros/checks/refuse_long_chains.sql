{#
    Stops a run in which a chain of links is longer than int_identities__resolved follows it: one person would be
    several customers, one of whom could be synced when another has refused.
#}
{% macro refuse_long_chains(hops) %}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    with cut as (

        select count(*) as links
        from {{ ref('int_identifiers__linkable') }} as links
        inner join {{ this }} as ones
            on links.identifier = ones.identifier
        inner join {{ this }} as others
            on links.linked_identifier = others.identifier
        where ones.customer_id != others.customer_id

    )

    select *
    from cut
    where
        case
            when links > 0
                then {{ raise_error(
                    "'clv: identities has chains of more than " ~ (hops + 1) ~ " linked ids, which would be several "
                    ~ "customers: link each id of a person with the same other one.'"
                ) }}
            else false
        end
{% endmacro %}
