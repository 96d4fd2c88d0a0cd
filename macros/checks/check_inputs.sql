{#
    The input contract, checked before anything is built, so that a bad load leaves the last good
    marts standing: the tables named in var clv_input_tables exist and have their columns, text
    that should be a date or a number is one, transactions are not empty, dated and valued.
    Raises one sentence naming table, column and the first bad rows.
#}
{% macro check_inputs() %}
    {%- if execute and flags.WHICH in ['build', 'run', 'test'] -%}
        {%- for input, columns in input_contract().items() if var('clv_input_tables').get(input) -%}
            {%- set declared = source('clv_raw', input) -%}
            {%- set relation = adapter.get_relation(
                declared.database, declared.schema, declared.identifier
            ) -%}
            {%- if relation is none -%}
                {%- do exceptions.raise_compiler_error(
                    'clv: input table ' ~ declared ~ ' does not exist: load it with '
                    ~ 'scripts/load_input.py, name yours in var clv_input_tables, or set it to '
                    ~ 'null there if you have none.'
                ) -%}
            {%- endif -%}
            {%- do check_input_columns(input, columns, relation) -%}
        {%- endfor -%}
        {%- do check_transactions() -%}
    {%- endif -%}
{% endmacro %}

{# Standard columns of every input and their types; the required ones of transactions first. #}
{% macro input_contract() %}
    {%- set text, instant, money = type_text(), type_instant(), type_money() -%}
    {%- do return({
        'transactions': {
            'user_id': text, 'ts': instant, 'amount': money, 'currency': text, 'channel': text,
            'sku': text, 'country': text, 'is_refund': 'boolean', 'variable_cost': money,
            'order_id': text, 'category': text, 'discount_amount': money,
        },
        'customers': {
            'user_id': text, 'signup_ts': instant, 'country': text, 'device': text,
            'acquisition_source': text, 'account_id': text,
        },
        'identities': {'user_id': text, 'other_id': text, 'linked_at': instant},
        'events': {'user_id': text, 'ts': instant, 'event_name': text, 'metadata_json': text},
        'ad_spend': {
            'channel': text, 'spend_date': 'date', 'spend': money,
            'new_customers': type_integer(),
        },
        'campaign_assignments': {
            'campaign_id': text, 'user_id': text, 'arm': text, 'assigned_at': instant,
            'cost': money, 'redeemed_at': instant,
        },
        'consents': {
            'user_id': text, 'channel': text, 'is_granted': 'boolean', 'updated_at': instant,
        },
        'customer_status': {'user_id': text, 'status': text, 'effective_at': instant},
        'text_signals': {
            'user_id': text, 'ts': instant, 'source': text, 'sentiment': type_double(),
            'topic': text,
        },
    }) -%}
{% endmacro %}

{# The columns of one input exist, and those that arrive as text can be read as their type. #}
{% macro check_input_columns(input, columns, relation) %}
    {%- set mapping = var('clv_input_columns').get(input, {}) -%}
    {%- set found = {} -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do found.update({column.name | lower: column}) -%}
    {%- endfor -%}
    {%- for column, type in columns.items() -%}
        {%- if column not in mapping and column not in found -%}
            {%- do exceptions.raise_compiler_error(
                'clv: ' ~ input ~ '.' ~ column ~ ' does not exist in ' ~ relation
                ~ ': name your own column in var clv_input_columns'
                ~ ('.' if input == 'transactions' and column in ['user_id', 'ts', 'amount']
                   else ', or set it to null there if you have none.')
            ) -%}
        {%- endif -%}
        {%- if column not in mapping and type != type_text() and found[column].is_string() -%}
            {%- do check_rows(
                input, column, relation, column,
                column ~ ' is not null and ' ~ safe_cast_to(column, type) ~ ' is null',
                'cannot be read as ' ~ type
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{# Transactions are there, and every line has a date and, unless var clv_value is none, an amount. #}
{% macro check_transactions() %}
    {%- set relation = source('clv_raw', 'transactions') -%}
    {%- if run_query('select 1 as one from ' ~ relation ~ ' limit 1').rows | length == 0 -%}
        {%- do exceptions.raise_compiler_error(
            'clv: transactions is empty: ' ~ relation ~ ' has no row.'
        ) -%}
    {%- endif -%}
    {%- for column in ['ts'] + ([] if var('clv_value') == 'none' else ['amount']) -%}
        {%- set mapped = var('clv_input_columns').get('transactions', {}).get(column, column) -%}
        {%- do check_rows(
            'transactions', column, relation, mapped, mapped ~ ' is null',
            'is null',
            '; set var clv_value to none if there are no amounts' if column == 'amount' else ''
        ) -%}
    {%- endfor -%}
{% endmacro %}

{# No row meets the fault; else one sentence with the count and the first three of them. #}
{% macro check_rows(input, column, relation, value, fault, sentence, advice='') %}
    {%- set user = var('clv_input_columns').get(input, {}).get('user_id', 'user_id') -%}
    {%- set key = user if 'user_id' in input_contract()[input] else 'channel' -%}
    {%- if input == 'transactions' and is_daily() -%}
        {#- What a daily run does not read was checked by the full run before it. -#}
        {%- set ts = var('clv_input_columns').get(input, {}).get('ts', 'ts') -%}
        {%- set instant = safe_cast_to(ts, type_instant()) -%}
        {%- set fault = '(' ~ fault ~ ') and (' ~ instant ~ ' is null or ' ~ instant ~ " >= timestamp '"
            ~ daily_window().lines_from ~ "')" -%}
    {%- endif -%}
    {%- set bad = run_query(
        'select cast(' ~ key ~ ' as ' ~ type_text() ~ ') as row_key, cast(' ~ value ~ ' as '
        ~ type_text() ~ ') as bad_value, (select count(*) from ' ~ relation ~ ' where ' ~ fault
        ~ ') as bad_rows from ' ~ relation ~ ' where ' ~ fault ~ ' order by 1, 2 limit 3'
    ) -%}
    {%- if bad.rows | length > 0 -%}
        {%- set examples = [] -%}
        {%- for row in bad.rows -%}
            {%- do examples.append(
                'user ' ~ row[0] ~ (': ' ~ (row[1] | tojson) if row[1] is not none else '')
            ) -%}
        {%- endfor -%}
        {%- do exceptions.raise_compiler_error(
            'clv: ' ~ input ~ '.' ~ column ~ ' ' ~ sentence ~ ' in ' ~ bad.rows[0][2]
            ~ ' rows; the first: ' ~ examples | join(', ') ~ advice ~ '.'
        ) -%}
    {%- endif -%}
{% endmacro %}
