{# A number as text, to four decimals, an integer without any; the same on every warehouse. #}
{% macro brief_number(number) -%}
    {%- set rounded = 'round(' ~ number ~ ', 4)' -%}
    case
        when abs({{ number }}) < 1e15 and {{ rounded }} = floor({{ rounded }})
            then cast(cast({{ rounded }} as {{ type_integer() }}) as {{ type_text() }})
        else cast({{ rounded }} as {{ type_text() }})
    end
{%- endmacro %}
