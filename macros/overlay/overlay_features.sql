{#
    The features of the overlay, columns of int_customer_features, by name: the family shown to
    marketers, and the wording for a value above and below the average.
#}
{% macro overlay_features() %}
    {%- do return({
        'frequency': ('purchases', 'bought on more days', 'bought on fewer days'),
        'recency_days': ('purchases', 'bought over a longer period', 'bought over a shorter period'),
        'age_days': ('purchases', 'has been a customer for longer', 'is a newer customer'),
        'days_since_purchase': ('purchases', 'last bought longer ago', 'bought more recently'),
        'orders': ('purchases', 'placed more orders', 'placed fewer orders'),
        'purchase_days_per_month': ('purchases', 'buys more often', 'buys less often'),
        'gap_mean_days': ('rhythm', 'longer between purchases', 'shorter between purchases'),
        'gap_variation': ('rhythm', 'buys less regularly', 'buys more regularly'),
        'gap_max_days': ('rhythm', 'had a longer pause', 'never paused for long'),
        'gap_last_days': ('rhythm', 'a longer pause before the last purchase', 'a shorter pause before the last purchase'),
        'gap_last_ratio': ('rhythm', 'is slowing down', 'is speeding up'),
        'overdue_ratio': ('rhythm', 'overdue by their own rhythm', 'on time by their own rhythm'),
        'value_to_date': ('money', 'spent more to date', 'spent less to date'),
        'value_per_day': ('money', 'spends more per purchase', 'spends less per purchase'),
        'value_per_month': ('money', 'spends more per month', 'spends less per month'),
        'value_max': ('money', 'had a larger largest purchase', 'had a smaller largest purchase'),
        'value_variation': ('money', 'spends less evenly', 'spends more evenly'),
        'value_first': ('money', 'had a larger first purchase', 'had a smaller first purchase'),
        'value_last': ('money', 'had a larger last purchase', 'had a smaller last purchase'),
        'value_last_three_ratio': ('money', 'larger recent purchases', 'smaller recent purchases'),
        'purchase_days_30d': ('recent months', 'bought more often in the last 30 days', 'bought less often in the last 30 days'),
        'purchase_days_60d': ('recent months', 'bought more often in the last 60 days', 'bought less often in the last 60 days'),
        'purchase_days_90d': ('recent months', 'bought more often in the last 90 days', 'bought less often in the last 90 days'),
        'purchase_days_180d': ('recent months', 'bought more often in the last 180 days', 'bought less often in the last 180 days'),
        'value_30d': ('recent months', 'spent more in the last 30 days', 'spent less in the last 30 days'),
        'value_60d': ('recent months', 'spent more in the last 60 days', 'spent less in the last 60 days'),
        'value_90d': ('recent months', 'spent more in the last 90 days', 'spent less in the last 90 days'),
        'value_180d': ('recent months', 'spent more in the last 180 days', 'spent less in the last 180 days'),
        'value_30d_before': ('recent months', 'spent more in the month before last', 'spent less in the month before last'),
        'purchase_days_trend': ('recent months', 'buys more often than a month ago', 'buys less often than a month ago'),
        'value_trend': ('recent months', 'spends more than a month ago', 'spends less than a month ago'),
        'discounted_share': ('promotion', 'buys more at a discount', 'buys less at a discount'),
        'discount_depth': ('promotion', 'gets deeper discounts', 'gets smaller discounts'),
        'discounted_order_share': ('promotion', 'uses discounts in more orders', 'uses discounts in fewer orders'),
        'discounted_share_30d': ('promotion', 'bought more at a discount in the last 30 days', 'bought less at a discount in the last 30 days'),
        'categories': ('breadth', 'buys from more categories', 'buys from fewer categories'),
        'products': ('breadth', 'buys more different products', 'buys fewer different products'),
        'category_concentration': ('breadth', 'spends on one category mostly', 'spreads spend over categories'),
        'categories_30d': ('breadth', 'bought from more categories in the last 30 days', 'bought from fewer categories in the last 30 days'),
        'lines_per_order': ('breadth', 'fuller baskets', 'emptier baskets'),
        'refunded_share': ('refunds', 'returns more', 'returns less'),
        'refund_days': ('refunds', 'returned more often', 'returned less often'),
        'days_since_refund': ('refunds', 'last return longer ago', 'last return more recent'),
        'country_worth': ('profile', 'from a country that buys more', 'from a country that buys less'),
        'device_worth': ('profile', 'on a device whose users buy more', 'on a device whose users buy less'),
        'channel_worth': ('profile', 'first bought in a channel with higher value', 'first bought in a channel with lower value'),
        'source_worth': ('profile', 'from a source with higher value', 'from a source with lower value'),
        'events_30d': ('events', 'more active in the last 30 days', 'less active in the last 30 days'),
        'events_90d': ('events', 'more active in the last 90 days', 'less active in the last 90 days'),
        'event_kinds_90d': ('events', 'more kinds of events in the last 90 days', 'fewer kinds of events in the last 90 days'),
        'days_since_event': ('events', 'last active longer ago', 'active more recently'),
        'texts_90d': ('texts', 'wrote more in the last 90 days', 'wrote less in the last 90 days'),
        'sentiment_90d': ('texts', 'writes more positively', 'writes less positively'),
        'negative_texts_90d': ('texts', 'complained more in the last 90 days', 'complained less in the last 90 days'),
        'days_since_text': ('texts', 'last wrote longer ago', 'wrote more recently'),
        'probability_alive': ('model', 'more likely still a customer', 'less likely still a customer'),
        'probability_purchase': ('model', 'more likely to buy', 'less likely to buy'),
        'expected_purchases': ('model', 'more purchases expected', 'fewer purchases expected'),
        'expected_value': ('model', 'more expected per purchase', 'less expected per purchase'),
        'baseline_value': ('model', 'more expected in total', 'less expected in total'),
    }) -%}
{% endmacro %}

{# The components of the candidates of var clv_overlay_candidates, and the quantiles. #}
{% macro overlay_components() %}
    {%- set components = [] -%}
    {%- for candidate in shaped('clv_overlay_candidates') -%}
        {%- do components.extend(
            {'offset': ['offset'], 'free': ['free'], 'two_stage': ['buys', 'amount']}[candidate]
        ) -%}
    {%- endfor -%}
    {%- do return(components + ['p50', 'p90']) -%}
{% endmacro %}
