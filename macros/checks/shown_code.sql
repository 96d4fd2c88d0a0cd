{#
    SQL of a code, such as a currency, for a message: unchanged up to three characters, else its length
    only, because the column may hold personal data.
    shown_code("'EUR'") -> 'EUR'; shown_code("'jane@example.com'") -> '(16 characters)'
#}
{% macro shown_code(expression) -%}
    case
        when length({{ expression }}) <= 3 then {{ expression }}
        else concat('(', cast(length({{ expression }}) as {{ type_text() }}), ' characters)')
    end
{%- endmacro %}
