{# A number as text, to four decimals and a whole one without any, alike on every warehouse. #}
{% macro brief_number(number) -%}
    {%- set rounded = 'round(' ~ number ~ ', 4)' -%}
    case
        when abs({{ number }}) < 1e15 and {{ rounded }} = floor({{ rounded }})
            then cast(cast({{ rounded }} as {{ type_integer() }}) as {{ type_text() }})
        else cast({{ rounded }} as {{ type_text() }})
    end
{%- endmacro %}
