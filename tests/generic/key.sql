{# Every row has a value in the column, and no two the same: unique and not_null in one statement. #}
{% test key(model, column_name) %}
select
    {{ column_name }},
    count(*) as copies
from {{ model }}
group by 1
having count(*) > 1 or {{ column_name }} is null
{% endtest %}
