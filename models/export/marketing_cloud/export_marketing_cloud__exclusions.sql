-- grain: one row per reason not to ship a customer, and one for those who may be
with candidates as (

    select
        coalesce(exclusion_reason, 'none') as exclusion_reason,
        count(*) as customers
    from {{ ref('export_marketing_cloud__candidates') }}
    group by 1

),

reasons as (

    {% for reason in ['suppressed', 'no_consent', 'held_out', 'none'] -%}
    select '{{ reason }}' as exclusion_reason
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

)

select
    reasons.exclusion_reason,
    coalesce(candidates.customers, 0) as customers,
    as_of.as_of_date,
    logs.log_id
from reasons
cross join {{ ref('int_as_of') }} as as_of
inner join {{ ref('int_logs') }} as logs
    on logs.is_current
left join candidates
    on reasons.exclusion_reason = candidates.exclusion_reason
