{#
    Where relations go: marts to the target's schema itself, everything else to one beside it with a
    suffix (clv, clv_staging, clv_intermediate, clv_reference, clv_export, clv_state). So that one
    name in the profile moves a whole environment, and access is granted by schema.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ target.schema }}{{ '_' ~ custom_schema_name | trim if custom_schema_name }}
{%- endmacro %}
