{#
    Deletes all rows of one customer from every table of the project: of all ids linked to the given
    one, with their lines, scores, state and keys. The id is given as its SHA-256, because arguments of
    dbt stay in its log and in the warehouse's query history. scripts/erase_customer.py reads the id,
    calls this, has the destinations delete their rows, and rewrites a DuckDB file. One row of
    clv_state.erasures remains: when, on whose order, from how many tables.
        dbt run-operation erase_customer --args '{sha256: "9f86…", ordered_by: "privacy desk"}'

    Args:
        sha256: 64 lower-case hexadecimal digits, of any id of the customer.
        ordered_by: person responsible for the erasure.
        inputs: whether to delete from the tables of clv_raw too. false where another team owns them and
            has erased the customer there: remaining rows would be loaded again.
#}
{% macro erase_customer(sha256, ordered_by, inputs=true) %}
    {%- if execute -%}
        {%- set tables = tables_of_persons() -%}
        {%- do find_person(tables, sha256) -%}
        {%- set ids = '(select identifier from ' ~ state_table('erasing') ~ ')' -%}
        {%- set deletions, ledger = state_table('export_deletions'), state_table('export_ledger') -%}
        {%- do refuse_lost_ledger(ids) -%}
        {#- A key found at the destination has no customer, unless the same key is a customer's. -#}
        {%- do run_query(
            'insert into ' ~ deletions ~ ' (target, customer_key, erasure_id, log_id, recorded_at)'
            ~ " select distinct target, customer_key, '" ~ invocation_id ~ "', log_id, " ~ now()
            ~ ' from ' ~ ledger ~ ' where customer_key in (select customer_key from ' ~ ledger
            ~ ' where customer_id in ' ~ ids ~ ')'
        ) -%}
        {%- do run_query(
            'delete from ' ~ ledger ~ ' where customer_key in (select customer_key from '
            ~ deletions ~ " where erasure_id = '" ~ invocation_id ~ "')"
        ) -%}
        {%- set held = namespace(rows=0, tables=0) -%}
        {%- for table in tables if inputs or not table.is_input -%}
            {%- set where = ' where ' ~ table.columns | join(' in ' ~ ids ~ ' or ') ~ ' in ' ~ ids -%}
            {%- set found = run_query('select count(*) from ' ~ table.relation ~ where)[0][0] -%}
            {%- if found -%}
                {%- set held.rows = held.rows + found | int -%}
                {%- set held.tables = held.tables + 1 -%}
                {%- do run_query('delete from ' ~ table.relation ~ where) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do run_query(
            'insert into ' ~ state_table('erasures')
            ~ ' (erasure_id, ordered_by, table_count, row_count, recorded_at) '
            ~ "select '" ~ invocation_id ~ "', '" ~ (ordered_by | string).replace('\\', ' ')
            .replace("'", ' ').replace('\n', ' ') ~ "', " ~ held.tables ~ ', ' ~ held.rows
            ~ ', ' ~ now()
        ) -%}
        {%- do run_query('drop table ' ~ state_table('erasing')) -%}
        {%- do adapter.commit() -%}
        {%- do print('clv: ' ~ held.rows ~ ' rows of ' ~ held.tables ~ ' tables are erased.') -%}
    {%- endif -%}
{% endmacro %}

{#
    Customers in the audience were sent by the last run, if there was one: if the ledger has no row of the
    customer, it is incomplete, and the destination would keep the row.
#}
{% macro refuse_lost_ledger(ids) %}
    {%- set audience = ref('export_marketing_cloud__audience') -%}
    {%- if load_relation(audience) -%}
        {%- set targets = run_query(
            "select target from " ~ state_table('export_runs') ~ " where event = 'ended' and exit_code in (0, 1)"
            ~ " and exists (select 1 from " ~ audience ~ ' where customer_id in ' ~ ids ~ ')'
            ~ ' and target not in (select target from ' ~ state_table('export_ledger')
            ~ ' where customer_id in ' ~ ids ~ ') group by 1'
        ).rows -%}
        {%- if targets -%}
            {%- do run_query('drop table ' ~ state_table('erasing')) -%}
            {%- do adapter.commit() -%}
            {%- do exceptions.raise_compiler_error(
                'clv: clv_state.export_ledger has no row of the customer at ' ~ targets[0][0] ~ ', though they '
                ~ 'are in the audience. Export first, with --reconcile if state was lost; then erase.'
            ) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{#
    Prints all rows of one customer, a line of JSON for each table that has any, for a request for
    access. For scripts/erase_customer.py --show, which keeps it out of dbt's log.
#}
{% macro show_customer(sha256) %}
    {%- if execute -%}
        {%- set tables = tables_of_persons() -%}
        {%- do find_person(tables, sha256) -%}
        {%- set ids = '(select identifier from ' ~ state_table('erasing') ~ ')' -%}
        {%- for table in tables -%}
            {%- set where = ' where ' ~ table.columns | join(' in ' ~ ids ~ ' or ') ~ ' in ' ~ ids -%}
            {%- set found = run_query('select * from ' ~ table.relation ~ where) -%}
            {%- if found | length -%}
                {%- set rows = [] -%}
                {%- for row in found.rows -%}
                    {%- set texts = {} -%}
                    {%- for name, value in dict(row).items() if value is not none -%}
                        {%- do texts.update({name: value | string}) -%}
                    {%- endfor -%}
                    {%- do rows.append(texts) -%}
                {%- endfor -%}
                {%- do print(tojson({
                    'table': table.relation.schema ~ '.' ~ table.relation.identifier, 'rows': rows
                })) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do run_query('drop table ' ~ state_table('erasing')) -%}
        {%- do adapter.commit() -%}
    {%- endif -%}
{% endmacro %}

{# A table of state, by its full name. #}
{% macro state_table(name) -%}
    {{ return(api.Relation.create(
        database=target.database, schema=target.schema ~ '_state', identifier=name
    )) }}
{%- endmacro %}

{#
    Every table of the project's schemas with ids of persons, also tables left by a former release →
    list of {relation, columns: SQL of each id, is_input}.
#}
{% macro tables_of_persons() %}
    {%- set persons = [
        'customer_id', 'user_id', 'identifier', 'linked_identifier', 'other_id', 'merged_user_id',
        'account_id', 'subscriber_key',
    ] -%}
    {%- set raw = source('clv_raw', 'transactions').schema -%}
    {%- set schemas, tables = [target.schema ~ '_state'], [] -%}
    {%- for node in graph.nodes.values() if node.resource_type in ['model', 'seed'] -%}
        {%- do schemas.append(node.schema) -%}
    {%- endfor -%}
    {%- for schema in schemas | unique if schema != raw -%}
        {%- for relation in adapter.dispatch('tables_of', 'clv')(schema) if relation.identifier != 'erasing' -%}
            {%- set ids = [] -%}
            {%- for column in adapter.get_columns_in_relation(relation)
                if column.name | lower in persons -%}
                {%- do ids.append('cast(' ~ column.name ~ ' as ' ~ type_text() ~ ')') -%}
            {%- endfor -%}
            {%- if ids -%}
                {%- do tables.append({'relation': relation, 'columns': ids, 'is_input': false}) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {#- An input may have other column names, and is trimmed when read. -#}
    {%- for input, contract in input_contract().items() -%}
        {%- set relation = source('clv_raw', input) if var('clv_input_tables').get(input) else none -%}
        {%- set relation = load_relation(relation) if relation else none -%}
        {%- if relation and relation.type == 'table' -%}
            {%- set found = adapter.get_columns_in_relation(relation) -%}
            {%- set ids = [] -%}
            {%- for column in contract if column in persons -%}
                {%- set sql = input_column(input, column, type_text(), found) -%}
                {%- if not sql.startswith('cast(null') -%}
                    {%- do ids.append(sql) -%}
                {%- endif -%}
            {%- endfor -%}
            {%- if ids -%}
                {%- do tables.append({'relation': relation, 'columns': ids, 'is_input': true}) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do return(tables) -%}
{% endmacro %}

{% macro default__tables_of(schema) %}
    {%- set found = [] -%}
    {%- set all = api.Relation.create(database=target.database, schema=schema) -%}
    {%- for row in list_relations_without_caching(all).rows if row['type'] == 'table' -%}
        {%- do found.append(api.Relation.create(
            database=target.database, schema=schema, identifier=row['name']
        )) -%}
    {%- endfor -%}
    {%- do return(found) -%}
{% endmacro %}

{% macro bigquery__tables_of(schema) %}
    {%- set all = api.Relation.create(database=target.database, schema=schema).without_identifier() -%}
    {%- do return(
        adapter.list_relations_without_caching(all) | selectattr('type', 'equalto', 'table') | list
    ) -%}
{% endmacro %}

{#
    Fills clv_state.erasing with all ids of the person one of whose ids has that SHA-256. Ids left there
    by an interrupted erasure are erased too.
#}
{% macro find_person(tables, sha256) %}
    {%- if not modules.re.fullmatch('[0-9a-f]{64}', sha256 | string) -%}
        {%- do exceptions.raise_compiler_error(
            'clv: name the customer by the SHA-256 of an id, 64 hexadecimal digits: '
            ~ 'scripts/erase_customer.py makes it.'
        ) -%}
    {%- endif -%}
    {%- set named, links = [], ref('int_identities__resolved') -%}
    {%- for table in tables -%}
        {%- for column in table.columns -%}
            {%- do named.append(
                'select ' ~ column ~ ' as identifier from ' ~ table.relation
                ~ ' where ' ~ sha256_hex(column) ~ " = '" ~ sha256 ~ "'"
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do run_query(
        'create table if not exists ' ~ state_table('erasing') ~ ' (identifier ' ~ type_text() ~ ')'
    ) -%}
    {%- do run_query(
        'insert into ' ~ state_table('erasing') ~ ' (identifier) with named as ('
        ~ named | join(' union distinct ') ~ '), persons as (select customer_id from ' ~ links
        ~ ' where identifier in (select identifier from named) or customer_id in '
        ~ '(select identifier from named)) select identifier from named union distinct '
        ~ 'select customer_id from persons union distinct select identifier from ' ~ links
        ~ ' where customer_id in (select customer_id from persons)'
    ) -%}
    {%- if not run_query('select count(*) from ' ~ state_table('erasing'))[0][0] -%}
        {%- do run_query('drop table ' ~ state_table('erasing')) -%}
        {%- do adapter.commit() -%}
        {%- do exceptions.raise_compiler_error('clv: no table holds a customer of that id.') -%}
    {%- endif -%}
{% endmacro %}
