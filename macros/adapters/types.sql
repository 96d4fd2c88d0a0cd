{# Money: an exact decimal with four digits after the point. #}
{% macro type_money() %}{{ return(adapter.dispatch('type_money', 'clv')()) }}{% endmacro %}
{% macro default__type_money() %}decimal(18, 4){% endmacro %}
{% macro bigquery__type_money() %}numeric{% endmacro %}

{# A 64-bit float; dbt's own type_float is 32 bits wide on DuckDB. #}
{% macro type_double() %}{{ return(adapter.dispatch('type_double', 'clv')()) }}{% endmacro %}
{% macro default__type_double() %}double{% endmacro %}
{% macro bigquery__type_double() %}float64{% endmacro %}

{# A 64-bit whole number. #}
{% macro type_integer() %}{{ return(adapter.dispatch('type_integer', 'clv')()) }}{% endmacro %}
{% macro default__type_integer() %}bigint{% endmacro %}
{% macro bigquery__type_integer() %}int64{% endmacro %}

{# An instant in UTC. #}
{% macro type_instant() %}timestamp{% endmacro %}

{# Text of any length. #}
{% macro type_text() %}string{% endmacro %}
