{#
    A text without the white space around it: blanks, tabs, line ends and every other character that
    Unicode calls white space.
    trimmed("' abc '") -> 'abc'
    On DuckDB single-byte text that begins and ends with a visible character, which is nearly all of
    it, needs no trimming.
#}
{% macro trimmed(text) -%}
    {{ return(adapter.dispatch('trimmed', 'clv')(text)) }}
{%- endmacro %}

{% macro default__trimmed(text) -%}
    {%- set white = '[\\s\\x0B\\x{85}\\p{Z}]+' -%}
    case
            when
                strlen({{ text }}) = length({{ text }})
                and {{ text }} >= '!' and ({{ text }})[-1] >= '!'
                then {{ text }}
            else regexp_replace({{ text }}, '^{{ white }}|{{ white }}$', '', 'g')
        end
{%- endmacro %}

{% macro bigquery__trimmed(text) -%}
    trim(
            {{ text }},
            '\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'
        )
{%- endmacro %}
