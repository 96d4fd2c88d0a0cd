{#
    The key of a line of int_transactions__resolved: a hash of all its delivered columns, in formats
    that are the same on every warehouse.
#}
{% macro transaction_key(lines) -%}
    {%- set columns = [
        'coalesce(' ~ lines ~ '.merged_user_id, ' ~ lines ~ '.customer_id)'
    ] -%}
    {%- for column in [
        'order_id', 'sku', 'category', 'channel', 'country', 'currency'
    ] -%}
        {%- do columns.append(lines ~ '.' ~ column) -%}
    {%- endfor -%}
    {%- for money in ['amount', 'variable_cost', 'discount_amount'] -%}
        {%- do columns.append(
            'cast(' ~ lines ~ '.delivered_' ~ money ~ ' * 10000 as ' ~ type_integer() ~ ')'
        ) -%}
    {%- endfor -%}
    {%- do columns.append(lines ~ '.is_flagged_refund') -%}
    {%- do columns.append(epoch_micros(lines ~ '.transacted_at')) -%}
    {{ surrogate_key(columns) }}
{%- endmacro %}
