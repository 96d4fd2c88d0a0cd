{#
    The input contract, checked before anything is built, so that a bad load leaves the last good
    marts standing. All that is missing is named at once; an optional column or table that is not
    there is null or empty, and said so in one line. Then one look at each table: text that should be
    a date or a number is one; transactions are there, dated, valued, not of the future, of amounts
    that money columns hold, and some of them are purchases. A fault is one sentence with the number
    of rows and the query that finds them; no value of a customer is shown, nor the name of a column
    that may be one.
#}
{% macro check_inputs() %}
    {%- if execute and flags.WHICH in ['build', 'run', 'test'] -%}
        {%- set lacking, notices, inputs, empty = [], [], {}, [] -%}
        {%- for input, columns in input_contract().items() if var('clv_input_tables').get(input) -%}
            {%- set declared = source('clv_raw', input) -%}
            {%- set found = {} -%}
            {%- for column in found_columns(input) -%}
                {%- do found.update({column.name | lower: column}) -%}
            {%- endfor -%}
            {%- set optional = input != 'transactions' and var('clv_input_tables')[input] == input -%}
            {%- if not found and optional -%}
                {%- do empty.append(input) -%}
            {%- elif not found -%}
                {%- do lacking.append(
                    'there is no table ' ~ declared.database ~ '.' ~ declared.schema ~ '.'
                    ~ declared.identifier ~ ' (var clv_input_tables names it for ' ~ input
                    ~ ('; load files with scripts/build.sh --input)' if input == 'transactions'
                       else '; null says that you have none)')
                ) -%}
            {%- else -%}
                {%- do inputs.update({input: found}) -%}
                {%- do check_input_columns(input, columns, found, lacking, notices) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if lacking -%}
            {%- do exceptions.raise_compiler_error('clv: ' ~ lacking | join('\n  and ') ~ '.') -%}
        {%- endif -%}
        {%- if empty -%}
            {%- do notices.append('no table ' ~ empty | join(', ') ~ ': what needs them is empty') -%}
        {%- endif -%}
        {%- for notice in notices if flags.WHICH != 'test' -%}
            {%- do log('clv: ' ~ notice ~ '.', info=true) -%}
        {%- endfor -%}
        {%- for input, found in inputs.items() if not flags.EMPTY -%}
            {%- do check_input_rows(input, found) -%}
        {%- endfor -%}
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
            'acquisition_source': text, 'account_id': text, 'subscriber_key': text,
            'tier': text,
            'plan': text, 'billing_period_days': type_integer(),
        },
        'identities': {'user_id': text, 'other_id': text, 'linked_at': instant},
        'events': {'user_id': text, 'ts': instant, 'event_name': text, 'metadata_json': text},
        'ad_spend': {
            'channel': text, 'spend_date': 'date', 'spend': money,
            'new_customers': type_integer(), 'currency': text,
        },
        'campaign_assignments': {
            'campaign_id': text, 'user_id': text, 'arm': text, 'assigned_at': instant,
            'cost': money, 'redeemed_at': instant,
        },
        'consents': {
            'user_id': text, 'channel': text, 'is_granted': 'boolean', 'updated_at': instant,
            'objects_to_profiling': 'boolean',
        },
        'customer_status': {'user_id': text, 'status': text, 'effective_at': instant},
        'text_signals': {
            'user_id': text, 'ts': instant, 'source': text, 'sentiment': type_double(),
            'topic': text,
        },
    }) -%}
{% endmacro %}

{# The columns that an input must have; every other one may be absent. #}
{% macro required_columns(input) %}
    {%- set required = {
        'transactions': ['user_id', 'ts', 'amount'],
        'customers': ['user_id'],
        'identities': ['user_id', 'other_id'],
        'events': ['user_id', 'ts', 'event_name'],
        'ad_spend': ['channel', 'spend_date', 'spend'],
        'campaign_assignments': ['campaign_id', 'user_id', 'arm', 'assigned_at'],
        'consents': ['user_id', 'channel', 'is_granted'],
        'customer_status': ['user_id', 'status'],
        'text_signals': ['user_id', 'ts', 'sentiment'],
    }[input] -%}
    {%- do return(
        required | reject('equalto', 'amount') | list if var('clv_value') == 'none' else required
    ) -%}
{% endmacro %}

{# Adds to `lacking` the required columns of one input that are not there, to `notices` the others. #}
{% macro check_input_columns(input, columns, found, lacking, notices) %}
    {%- set mapping = var('clv_input_columns').get(input, {}) -%}
    {%- set required = required_columns(input) -%}
    {%- set missing, absent = [], [] -%}
    {%- for column, type in columns.items() -%}
        {%- set mapped = mapping.get(column, column) -%}
        {%- set is_name = mapped is string and modules.re.fullmatch('[A-Za-z_][A-Za-z_0-9]*', mapped) -%}
        {%- if mapped is none and column in required
            or is_name and mapped | lower not in found and (column in required or column in mapping) -%}
            {%- do missing.append(column) -%}
        {%- elif is_name and mapped | lower not in found -%}
            {%- do absent.append(column) -%}
        {%- elif is_name and type in ['date', type_instant()] and found[mapped | lower].is_number() -%}
            {%- do lacking.append(
                input ~ '.' ~ column ~ ' is a number, not a time: put the expression that makes it one into var '
                ~ 'clv_input_columns, such as timestamp_seconds(' ~ mapped ~ ') on BigQuery or to_timestamp('
                ~ mapped ~ ') on DuckDB'
            ) -%}
        {%- elif is_name and type == type_money() and found[mapped | lower].dtype | lower in ['bool', 'boolean'] -%}
            {%- do lacking.append(input ~ '.' ~ column ~ ' is true or false, not an amount') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if missing -%}
        {%- set pairs = [] -%}
        {%- for column in missing -%}
            {%- do pairs.append(column ~ ': ' ~ likely_column(column, found)) -%}
        {%- endfor -%}
        {%- do lacking.append(
            input ~ ' (table ' ~ source('clv_raw', input).identifier ~ ') has no column '
            ~ missing | join(', ') ~ '; its ' ~ found | length ~ ' columns '
            ~ ('look like values: load it with its header' if is_values(found, columns) else 'are ' ~ found | join(', '))
            ~ '; say in dbt_project.yml which is which:\n      clv_input_columns:\n        '
            ~ input ~ ': {' ~ pairs | join(', ') ~ '}'
        ) -%}
    {%- elif absent -%}
        {%- do notices.append(input ~ ' has no ' ~ absent | join(', ') ~ ': null') -%}
    {%- endif -%}
{% endmacro %}

{#
    Whether the names of a table's columns are a line of values, as where a file was loaded without its
    header: one is a number, a date or an address, or none is like any that the input has.
#}
{% macro is_values(found, columns) %}
    {%- set alike = [] -%}
    {%- for name in found if '@' in name or modules.re.fullmatch('[^A-Za-z]*[0-9][^A-Za-z]*', name) -%}
        {%- do return(true) -%}
    {%- endfor -%}
    {%- for column in columns -%}
        {%- do alike.append(likely_column(column, found)) -%}
    {%- endfor -%}
    {%- do return(alike | reject('equalto', '?') | list | length == 0) -%}
{% endmacro %}

{# The column that is probably meant, by the names that shops give it; ? where none is. #}
{% macro likely_column(column, found) %}
    {%- set usual = {
        'user_id': ['customerid', 'customerno', 'customernumber', 'customer', 'clientid', 'memberid',
                    'userid', 'accountid', 'buyerid', 'kundennr', 'id'],
        'ts': ['timestamp', 'orderedat', 'orderdate', 'ordertime', 'createdat', 'invoicedate',
               'purchasedate', 'purchasedat', 'transactiondate', 'datetime', 'date', 'time'],
        'amount': ['total', 'totalamount', 'nettotal', 'netamount', 'ordertotal', 'revenue', 'value',
                   'price', 'totalprice', 'sales', 'spend', 'fare'],
    }.get(column, [column | replace('_', '')]) -%}
    {%- set plain = {} -%}
    {%- for name in found -%}
        {%- do plain.update({modules.re.sub('[^a-z0-9]', '', name): name}) -%}
    {%- endfor -%}
    {%- do return(plain.get(usual | select('in', plain) | first | default('?'), '?')) -%}
{% endmacro %}

{#
    One look at the rows of an input: no row meets a fault. A daily run looks at the lines that it
    reads; the others were checked by the full run before it.
#}
{% macro check_input_rows(input, found) %}
    {%- set columns = {} -%}
    {%- for column, type in input_contract()[input].items() -%}
        {%- set mapped = var('clv_input_columns').get(input, {}).get(column, column) -%}
        {%- if mapped is not none and (column in var('clv_input_columns').get(input, {}) or column in found) -%}
            {%- do columns.update({column: mapped}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set tomorrow = (run_started_at + modules.datetime.timedelta(days=1)).strftime('%Y-%m-%d %H:%M:%S') -%}
    {%- set faults = [] -%}
    {%- for column, value in columns.items() -%}
        {%- set type = input_contract()[input][column] -%}
        {%- set is_text = column in found and found[column].is_string() -%}
        {%- if type != type_text() and (is_text or type == type_money()) -%}
            {%- do faults.append((
                column, 'cannot be read as ' ~ type,
                value ~ ' is not null and ' ~ safe_cast_to(value, type) ~ ' is null', '',
            )) -%}
        {%- endif -%}
        {%- set limit = 1000000000 if input == 'transactions' else 1000000000000 -%}
        {%- if type == type_money() -%}
            {%- do faults.append((
                column, 'is ' ~ '{:,}'.format(limit) ~ ' or more (no amount of one line)',
                'abs(' ~ safe_cast_to(value, type) ~ ') >= ' ~ limit, '',
            )) -%}
        {%- endif -%}
        {#- A consent or a status may begin later; of events the times are not read for it. -#}
        {%- if type == type_instant() and input != 'events' and column not in ['updated_at', 'effective_at'] -%}
            {%- do faults.append((
                column, 'is more than a day from now',
                safe_cast_to(value, type) ~ " > timestamp '" ~ tomorrow ~ "'", '',
            )) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set relation = source('clv_raw', input) -%}
    {%- if input == 'transactions' -%}
        {%- set instant = safe_cast_to(columns['ts'], type_instant()) -%}
        {%- do faults.append(('ts', 'is null', columns['ts'] ~ ' is null', '')) -%}
        {%- do faults.append((
            'ts', 'is the zero of a clock, in 1970, or before', instant ~ " < timestamp '1970-01-02'", '',
        )) -%}
        {%- if var('clv_value') != 'none' -%}
            {%- do faults.append((
                'amount', 'is null', columns['amount'] ~ ' is null',
                '; var clv_value: none is for visits without amounts',
            )) -%}
        {%- endif -%}
    {%- endif -%}
    {%- if input == 'identities' -%}
        {%- do faults.append((
            'other_id', 'stands for nobody, such as guest or null,', is_no_customer(columns['other_id'], 'nobody'),
            ', which would be one person: leave these links out',
        )) -%}
    {%- endif -%}
    {%- if faults -%}
        {%- set read -%}
            {{ since_history(input, found.values()) or 'true' }}
            {%- if input == 'transactions' and is_daily() %}
            and ({{ instant }} is null or {{ instant }} >= timestamp '{{ daily_window().lines_from }}')
            {%- endif %}
        {%- endset -%}
        {%- set query -%}
            select
                count(*) as rows_read
                {%- if input == 'transactions' %},
                {{ transaction_facts(columns, found) }}
                {%- endif %}
                {%- for column, sentence, fault, advice in faults %},
                sum(case when {{ fault }} then 1 else 0 end) as fault_{{ loop.index }}
                {%- endfor %}
            from {{ relation }}
            where {{ read }}
        {%- endset -%}
        {%- for row in run_query(query).rows -%}
            {%- set bad_rows = row.values()[9 if input == 'transactions' else 1:] -%}
            {%- for column, sentence, fault, advice in faults -%}
                {%- if bad_rows[loop.index0] -%}
                    {%- do exceptions.raise_compiler_error(
                        'clv: ' ~ input ~ '.' ~ column ~ ' ' ~ sentence ~ ' in '
                        ~ '{:,}'.format(bad_rows[loop.index0] | int) ~ ' of ' ~ '{:,}'.format(row[0] | int)
                        ~ ' rows' ~ advice ~ '; see them with: select * from ' ~ relation ~ ' where ' ~ fault ~ '.'
                    ) -%}
                {%- endif -%}
            {%- endfor -%}
            {%- if input == 'transactions' -%}
                {%- do judge_transactions(relation, row) -%}
                {%- if row[7] -%}
                    {%- do judge_ids(relation, row[0], columns, read) -%}
                {%- endif -%}
                {%- if flags.WHICH != 'test' -%}
                    {%- do adapter.dispatch('say_cost_of_log', 'clv')(relation, columns) -%}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{# What is said of transactions, in eight columns: days, purchases, currencies, ids of no customer. #}
{% macro transaction_facts(columns, found) %}
    {%- set ts, as_of = columns['ts'], var('clv_as_of_date') -%}
    {%- set day = local_date(as_instant(ts, type_found(ts, found.values()), is_safe=true)) -%}
    {%- set currency = 'upper(' ~ trimmed('cast(' ~ columns.get('currency', "''") ~ ' as ' ~ type_text() ~ ')') ~ ')' -%}
    min({{ day }}) as first_day,
    max({{ day }}) as last_day,
    sum(
        case
            when
                {{ 'not coalesce(' ~ safe_cast_to(columns['is_refund'], 'boolean') ~ ', false)'
                    if 'is_refund' in columns else 'true' }}
                {%- if 'amount' in columns %}
                {%- set amount = safe_cast_to(columns['amount'], type_money()) %}
                and {{ 'coalesce(' ~ amount ~ ', 0) >= 0' if var('clv_value') == 'none' else amount ~ ' > 0' }}
                {%- endif %}
                and nullif({{ trimmed('cast(' ~ columns['user_id'] ~ ' as ' ~ type_text() ~ ')') }}, '') is not null
                {%- if as_of is not none %}
                and {{ day }} <= date '{{ as_of }}'
                {%- endif %}
                then 1
            else 0
        end
    ) as purchases,
    count(distinct nullif({{ currency }}, '')) as currencies,
    {{ shown_code('min(nullif(' ~ currency ~ ", ''))") }} as first_currency,
    {{ shown_code('max(nullif(' ~ currency ~ ", ''))") }} as last_currency,
    sum(case when {{ is_no_customer(columns['user_id']) }} then 1 else 0 end) as lines_of_no_customer,
    sum(case when nullif({{ currency }}, '') is null then 1 else 0 end) as lines_without_currency
{% endmacro %}

{# Says in one line what is read, or stops where there is nothing to build from. #}
{% macro judge_transactions(relation, row) %}
    {%- set lines, project_currency = '{:,}'.format(row[0] | int), var('clv_currency') -%}
    {%- if not row[0] and not is_daily() -%}
        {%- do exceptions.raise_compiler_error('clv: transactions is empty: ' ~ relation ~ ' has no row.') -%}
    {%- elif not row[3] and not is_daily() -%}
        {%- do exceptions.raise_compiler_error(
            'clv: transactions has no line that is a purchase: each of the ' ~ lines ~ ' lines of ' ~ relation
            ~ ' is a refund or has no user_id or no amount above 0'
            ~ (', or is after ' ~ var('clv_as_of_date') ~ ', var clv_as_of_date; the first is of ' ~ row[1]
               if var('clv_as_of_date') is not none else '') ~ '.'
        ) -%}
    {%- elif row[4] > 1 and project_currency is none -%}
        {%- do exceptions.raise_compiler_error(
            'clv: transactions has amounts in ' ~ row[4] ~ ' currencies, ' ~ row[5] ~ ' to ' ~ row[6]
            ~ ": name the project's in var clv_currency, and the rates of the others in "
            ~ 'seeds/reference/currency_rates.csv.'
        ) -%}
    {%- elif row[4] == 1 and row[8] > 0.01 * row[0] and project_currency is none and not is_daily() -%}
        {%- do exceptions.raise_compiler_error(
            'clv: transactions names no currency in ' ~ '{:,}'.format(row[8] | int) ~ ' of ' ~ lines ~ ' lines, and '
            ~ row[5] ~ ' in the others: name the currency of these lines there, or if all are of one, in var '
            ~ 'clv_currency.'
        ) -%}
    {%- endif -%}
    {%- set today = run_started_at.strftime('%Y-%m') -%}
    {%- if is_monthly() and row[0] and var('clv_as_of_date') is none and (row[2] | string)[:7] >= today -%}
        {%- do exceptions.raise_compiler_error(
            'clv: transactions has lines of ' ~ (row[2] | string)[:7] ~ ', a month that is not over: with '
            ~ 'clv_period: month, name the last day of one that is in var clv_as_of_date.'
        ) -%}
    {%- endif -%}
    {%- if flags.WHICH != 'test' -%}
        {%- do log(
            'clv: reads ' ~ relation ~ (' since ' ~ daily_window().lines_from if is_daily() else '') ~ ': '
            ~ lines ~ (' lines of months' if is_monthly() else ' lines') ~ (', ' ~ row[1] ~ ' to ' ~ row[2] if row[0] else '') ~ ', '
            ~ ('in ' ~ row[5] if row[4] == 1 else row[4] ~ ' currencies' if row[4] else 'no currency named')
            ~ (', counted in ' ~ project_currency if project_currency else '') ~ '.',
            info=true
        ) -%}
    {%- endif -%}
{% endmacro %}

{#
    Whether a user id is a word for nobody, for a sum, or a zero: of this kind, or of any. The words are those
    of scripts/load_input.py, but for sums that may be ids, such as all.
#}
{% macro is_no_customer(user_id, kind=none) -%}
    {%- set words = {
        'nobody': [
            'nan', 'null', '(null)', 'none', '(none)', 'nil', 'n/a', '#n/a', 'na', '-', 'undefined', 'unknown',
            'guest', 'anonymous', '<na>', '--', '?', 'guest user', 'guest checkout', 'guest_user', 'walk-in',
            'walk-in customer', 'gast', 'laufkunde', 'barverkauf', 'anonym', 'unbekannt', 'inconnu',
            'anonyme', 'invité', 'invitado', 'desconocido', 'ospite', 'sconosciuto', 'onbekend',
            '00000000-0000-0000-0000-000000000000',
        ],
        'zero': ['0', '0.0', '-1', '-1.0'],
        'sum': [
            'total', 'totals', 'grand total', 'subtotal', 'sub total', 'summe', 'gesamt', 'gesamtsumme',
            'zwischensumme', 'gesamtergebnis', 'totaal', 'eindtotaal', 'totale', 'somme', 'total général',
            'sous-total', 'suma', 'total general', 'totale complessivo',
        ],
    } -%}
    lower(trim(cast({{ user_id }} as {{ type_text() }}))) in (
        '{{ (words[kind] if kind else words.values() | sum(start=[])) | join("', '") }}'
    )
{%- endmacro %}

{#
    Stops where lines of a sum would be a customer's; in full runs also where more than a twentieth of lines or
    of revenue would be that of one customer who is nobody. Zero is nobody in a log of a thousand lines and
    more: in a smaller one it may be the id of the first customer.
#}
{% macro judge_ids(relation, lines, columns, read) %}
    {%- set user_id = columns['user_id'] -%}
    {%- set nobody = '(' ~ is_no_customer(user_id, 'nobody')
        ~ (' or ' ~ is_no_customer(user_id, 'zero') if lines >= 1000 else '') ~ ')' -%}
    {%- set amount = 'greatest(coalesce(' ~ safe_cast_to(columns['amount'], type_money()) ~ ', 0), 0)'
        if 'amount' in columns else '0' -%}
    {%- set found = run_query(
        'select sum(case when ' ~ is_no_customer(user_id, 'sum') ~ ' then 1 else 0 end), sum(case when ' ~ nobody
        ~ ' then 1 else 0 end), sum(case when ' ~ nobody ~ ' then ' ~ amount ~ ' else 0 end) / nullif(sum('
        ~ amount ~ '), 0) from ' ~ relation ~ ' where ' ~ read
    ).rows[0] -%}
    {%- set see = ' rows; see them with: select * from ' ~ relation ~ ' where ' -%}
    {%- if found[0] -%}
        {%- do exceptions.raise_compiler_error(
            'clv: transactions.user_id is a word for a sum, such as Total, in ' ~ '{:,}'.format(found[0] | int)
            ~ ' of ' ~ '{:,}'.format(lines | int) ~ see ~ is_no_customer(user_id, 'sum')
            ~ '. Leave these rows out of the table; where it is the name of a customer, give them another id '
            ~ 'in var clv_input_columns.'
        ) -%}
    {%- elif not is_daily() and [found[1] / lines, found[2] or 0] | map('float') | max > 0.05 -%}
        {%- do exceptions.raise_compiler_error(
            'clv: transactions.user_id stands for nobody, such as guest, null or 0, in '
            ~ '{:,}'.format(found[1] | int) ~ ' of ' ~ '{:,}'.format(lines | int) ~ see ~ nobody
            ~ '. They would be one customer: make the id null there, such as with var clv_input_columns: '
            ~ "{transactions: {user_id: \"nullif(user_id, 'guest')\"}}, and these lines are set aside."
        ) -%}
    {%- elif found[1] and flags.WHICH != 'test' and not is_daily() -%}
        {%- do log(
            'clv: transactions.user_id stands for nobody, such as guest, null or 0, in '
            ~ '{:,}'.format(found[1] | int) ~ see | replace(' rows;', ' rows, which count as a customer;') ~ nobody ~ '.',
            info=true
        ) -%}
    {%- endif -%}
{% endmacro %}
