{# Destinations of scripts/export_segments.py. #}
{% macro export_targets() %}
    {%- do return(['crm', 'sfmc', 'files', 'google_ads']) -%}
{% endmacro %}
