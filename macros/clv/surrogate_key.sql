{#
    MD5 over expressions, nulls told apart from empty text; equal on every warehouse as long as the
    expressions are text, whole numbers or booleans.
    surrogate_key(['order_id', 'sku']) -> 32 hexadecimal digits
#}
{% macro surrogate_key(expressions) -%}
    {%- set parts = [] -%}
    {%- for expression in expressions -%}
        {%- do parts.append(
            "coalesce(cast(" ~ expression ~ " as " ~ type_text() ~ "), '~')"
        ) -%}
    {%- endfor -%}
    {{ dbt.hash('concat(' ~ parts | join(", '|', ") ~ ')') }}
{%- endmacro %}
