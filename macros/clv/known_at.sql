{# Whether a version of a purchase day (int_purchase_days) was the one known on a date. #}
{% macro known_at(date_expression, version='purchase_days') -%}
    {{ version }}.known_from <= {{ date_expression }}
    and ({{ version }}.known_until is null or {{ version }}.known_until > {{ date_expression }})
{%- endmacro %}
