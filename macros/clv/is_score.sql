{#
    Whether a number is a valid score: not null, not negative and finite. NaN and infinity differ from themselves
    when subtracted; to DuckDB, NaN is more than any number.
#}
{% macro is_score(number) -%}
    coalesce({{ number }} >= 0 and {{ number }} - {{ number }} = 0, false)
{%- endmacro %}
