{#
    Values of all the columns lie within the bounds, ends included, and `shares` between 0 and 1. Nulls and an
    absent bound are fine; NaN and infinity are not. One test for many columns: each test costs a query.
#}
{% test are_between(model, columns, lowest=none, highest=none, shares=[]) %}
select {{ (columns + shares) | join(', ') }}
from {{ model }}
where
    {%- for column in columns %}
    {{ 'or ' if not loop.first }}not coalesce(
        {{ column }} - {{ column }} = 0
        {%- if lowest is not none %} and {{ column }} >= {{ lowest }}{% endif %}
        {%- if highest is not none %} and {{ column }} <= {{ highest }}{% endif %}, true
    )
    {%- endfor %}
    {%- for column in shares %}
    or not coalesce({{ column }} >= 0 and {{ column }} <= 1, true)
    {%- endfor %}
{% endtest %}
