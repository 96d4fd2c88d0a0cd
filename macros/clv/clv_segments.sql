{#
    The CLV segments in order of precedence, each with its condition and its reason in words. The
    conditions read the columns of int_segments__ruled: purchase_days, state, tier (3 = VIP,
    2 = notable, 1 = valuable by CLV), is_outlier, is_historically_valuable, is_promising.
#}
{% macro clv_segment_rules() %}
    {%- set percentiles = shaped('clv_segment_percentiles') -%}
    {%- set loyal = var('clv_loyal_purchases') -%}
    {%- set is_priced = var('clv_value') != 'none' -%}
    {%- set clv = 'CLV' if is_priced else 'expected purchases' -%}
    {%- set historic = 'value to date' if is_priced else 'purchases to date' -%}
    {%- set top = {} -%}
    {%- for name, percentile in percentiles.items() -%}
        {%- do top.update({name: 'in the top ' ~ '%g' % ((1 - percentile) * 100) | round(3) ~ ' %'}) -%}
    {%- endfor -%}
    {%- set is_loyal = 'purchase_days >= ' ~ loyal -%}
    {%- set many = loyal ~ ' purchase days or more' -%}
    {%- do return([
        (
            'suppressed', 'is_suppressed',
            'status set by hand, no purchase since'
        ),
        (
            '01_top_outlier',
            "purchase_days >= 2 and state != 'hibernating' and tier = 3 and is_outlier",
            'repeat customer, ' ~ clv ~ ' ' ~ top.vip ~ ', and ' ~ top.outlier
            ~ ' by the last year or by value per purchase'
        ),
        (
            '05_hibernating_loyal', is_loyal ~ " and state = 'hibernating'",
            many ~ ', no purchase within the inactivity window'
        ),
        (
            '04_at_risk_loyal',
            is_loyal ~ " and state = 'at_risk' and is_historically_valuable",
            many ~ ', at risk, ' ~ historic ~ ' ' ~ top.historic
        ),
        (
            '02_loyal_vip', is_loyal ~ " and state = 'active' and tier = 3",
            many ~ ', active, ' ~ clv ~ ' ' ~ top.vip
        ),
        (
            '03_notable_loyal', is_loyal ~ " and state = 'active' and tier = 2",
            many ~ ', active, ' ~ clv ~ ' ' ~ top.notable
        ),
        (
            '12_promising_new', "purchase_days = 1 and state = 'active' and is_promising",
            'one purchase day, active, ' ~ clv ~ ' ' ~ top.promising ~ ' of such customers'
        ),
        (
            '09_recent_customer', "purchase_days = 1 and state = 'active'",
            'one purchase day, active'
        ),
        (
            '11_hibernator', "state = 'hibernating'",
            'fewer than ' ~ many | replace(' or more', '')
            ~ ', no purchase within the inactivity window'
        ),
        (
            '06_valuable_repeater', "purchase_days >= 2 and state = 'active' and tier >= 1",
            '2 purchase days or more, active, ' ~ clv ~ ' ' ~ top.valuable
        ),
        (
            '07_at_risk_valuable_repeater',
            "purchase_days >= 2 and state = 'at_risk' and is_historically_valuable",
            '2 purchase days or more, at risk, ' ~ historic ~ ' ' ~ top.historic
        ),
        (
            '08_low_value_repeater', "purchase_days >= 2 and state = 'active'",
            '2 purchase days or more, active, ' ~ clv ~ ' not ' ~ top.valuable
        ),
        (
            '10_low_value_mass', 'true',
            'at risk, and of one purchase day or of ' ~ historic ~ ' not ' ~ top.historic
        ),
    ]) -%}
{% endmacro %}

{# The CLV segment of a customer: the first rule that they meet. #}
{% macro clv_segment() -%}
    case
        {%- for segment, condition, _ in clv_segment_rules() %}
        when {{ condition }} then '{{ segment }}'
        {%- endfor %}
    end
{%- endmacro %}

{# The reason in words for which a customer is in a segment. #}
{% macro clv_segment_reason(segment) -%}
    case {{ segment }}
        {%- for name, _, reason in clv_segment_rules() %}
        when '{{ name }}' then '{{ reason }}'
        {%- endfor %}
        when '00_prospect' then 'no purchase'
        when 'refunds_only' then 'refunds, and no purchase that they belong to'
    end
{%- endmacro %}

{# Cut-points are computed from customers who bought within this many days. #}
{% macro statistics_window_days() %}{% do return(730) %}{% endmacro %}

{# The variables on which the cut-points depend; other settings start a new version. #}
{% macro cut_point_settings() -%}
    {%- set settings = model_definition_parts() -%}
    {%- for name in [
        'clv_segment_percentiles', 'clv_inactivity_days', 'clv_at_risk_thresholds',
    ] -%}
        {%- do settings.update({name: var(name)}) -%}
    {%- endfor -%}
    {{ tojson(settings, sort_keys=True) | replace("'", '') }}
{%- endmacro %}
