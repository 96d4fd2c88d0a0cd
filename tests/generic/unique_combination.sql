{# The columns together identify a row, and none of them is null but those that may be. #}
{% test unique_combination(model, columns, nullable=[]) %}
select
    {{ columns | join(', ') }},
    count(*) as copies
from {{ model }}
group by {{ range(1, columns | length + 1) | join(', ') }}
having
    count(*) > 1
    or max(
        case when {{ columns | reject('in', nullable) | join(' is null or ') }} is null then 1 else 0 end
    ) = 1
{% endtest %}
