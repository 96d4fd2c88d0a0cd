{#
    The longest gap without a transaction, in days, that occurs by chance once in 10,000 times if
    `active_share` of all days have one.
    likely_gap('0.5') -> 13.3
#}
{% macro likely_gap(active_share) -%}
    ln(0.0001) / ln(greatest(0.0001, 1 - least(0.9999, {{ active_share }})))
{%- endmacro %}
