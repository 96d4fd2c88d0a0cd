{#
    SHA-256 of a text as 64 lower-case hexadecimal digits.
    sha256_hex("'abc'") -> ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
#}
{% macro sha256_hex(text) -%}
    {{ return(adapter.dispatch('sha256_hex', 'clv')(text)) }}
{%- endmacro %}

{% macro default__sha256_hex(text) -%}
    sha256({{ text }})
{%- endmacro %}

{% macro bigquery__sha256_hex(text) -%}
    to_hex(sha256({{ text }}))
{%- endmacro %}
