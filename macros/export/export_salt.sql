{#
    What customer ids are hashed with on their way out: environment variable CLV_EXPORT_SALT, else
    var clv_export_salt. It keeps the destination, which has no ids, from guessing them; who reads
    the warehouse has the ids anyway.
#}
{% macro export_salt() %}
    {%- do return(env_var('CLV_EXPORT_SALT', var('clv_export_salt'))) -%}
{% endmacro %}
