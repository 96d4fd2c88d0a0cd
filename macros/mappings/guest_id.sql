{#
    The user id of a customer known by e-mail only: a hash, so that no address enters the tables; null
    without an e-mail.
#}
{% macro guest_id(email) -%}
    'guest-' || {{ sha256_hex("nullif(lower(trim(" ~ email ~ ")), '')") }}
{%- endmacro %}
