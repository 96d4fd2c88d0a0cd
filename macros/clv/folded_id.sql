{# An id but for what spreadsheets change of it: case, leading zeros, a decimal zero. #}
{% macro folded_id(id) -%}
nullif(
    regexp_replace(regexp_replace(lower({{ id }}), '[.]0+$', ''), '^0+', ''), ''
)
{%- endmacro %}
