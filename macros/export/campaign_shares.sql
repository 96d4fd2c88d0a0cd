{# Campaign → share of customers in its control group; one campaign 'all' where var is a number. #}
{% macro campaign_shares() %}
    {%- set share = var('clv_holdout_share') -%}
    {%- do return(share if share is mapping else {'all': share}) -%}
{% endmacro %}
