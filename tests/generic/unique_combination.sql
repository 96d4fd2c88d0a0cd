{#
    The columns together identify a row, and none of them is null but those that may be. `others` are further
    relations with columns of theirs, judged by the same statement, for views that read the same large table:
    a statement pays for a table once, however often it reads it.
#}
{% test unique_combination(model, columns, nullable=[], others=[]) %}
{%- set judged = [{'relation': model, 'columns': columns, 'nullable': nullable}] + others -%}
{%- for each in judged %}
{%- if others %}
{{ 'union all' if not loop.first }}
select '{{ loop.index }}' as place, count(*) as faults from (
{%- endif %}
select
    {{ each.columns | join(', ') }},
    count(*) as copies
from {{ each.relation }}
group by {{ range(1, each.columns | length + 1) | join(', ') }}
having
    count(*) > 1
    or max(
        case
            when {{ each.columns | reject('in', each.nullable | default([])) | join(' is null or ') }} is null then 1
            else 0
        end
    ) = 1
{%- if others %}
) as faulty_{{ loop.index }}
having count(*) > 0
{%- endif %}
{%- endfor %}
{% endtest %}
