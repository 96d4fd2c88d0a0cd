"""scripts/check_bigquery.py: the models pass, and every planted fault is found."""

import contextlib
import importlib.util
import re
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
spec = importlib.util.spec_from_file_location(
    "check_bigquery", SCRIPTS / "check_bigquery.py"
)
check_bigquery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_bigquery)
CONTRACT = check_bigquery.CONTRACT

OBSERVED = "int_histories__observed"
DAYS = "int_purchase_days"
COHORTS = "cohorts"
RESOLVED = "int_transactions__resolved"
ORDERS = "int_orders__closed"
WIDE = "int_expectations__wide"
MART = "customer_lifetime_value"
STAGED = "stg_transactions"

# What is wrong: (model, what stands there, what is planted, what Google says).
PLANTED = {
    "a misspelt column": (
        OBSERVED,
        "known.is_purchase then known.order_count",
        "known.is_purchase then known.orders_count",
        "orders_count",
    ),
    "a missing table": (
        OBSERVED,
        "`int_value_caps`",
        "`int_value_limits`",
        "Table not found",
    ),
    "a table in other letters": (
        OBSERVED,
        "`int_value_caps`",
        "`Int_Value_Caps`",
        "case-sensitive",
    ),
    "an ambiguous column": (
        OBSERVED,
        "known.cutoff_date,",
        "cutoff_date,",
        "ambiguous",
    ),
    "a column of another CTE": (
        DAYS,
        "sold.order_count,",
        "lines.order_count,",
        "lines",
    ),
    "an ungrouped column": (
        OBSERVED,
        "count(case when known.is_purchase then 1 end) as purchase_days",
        "known.purchase_date as purchase_days",
        "neither grouped nor aggregated",
    ),
    "a lateral alias": (
        OBSERVED,
        "purchase_days - 1 as frequency,",
        "purchase_days - 1 as frequency, frequency + 1 as orders,",
        "Unrecognized name: frequency",
    ),
    "the date_diff of DuckDB": (
        OBSERVED,
        "date_diff(last_purchase_date, first_purchase_date, day)",
        "date_diff('day', first_purchase_date, last_purchase_date)",
        "date part",
    ),
    "the date_trunc of DuckDB": (
        COHORTS,
        "date_trunc(first_purchase_date, month)",
        "date_trunc('month', first_purchase_date)",
        "date part",
    ),
    "a date minus an instant": (
        RESOLVED,
        "cast(transacted_at as date) as transaction_date",
        "date '2024-01-01' - transacted_at as transaction_date",
        "No matching signature for operator -",
    ),
    "the month of an instant": (
        RESOLVED,
        "cast(transacted_at as date) as transaction_date",
        "timestamp_add(transacted_at, interval 1 month) as transaction_date",
        "MONTH",
    ),
    "a filter clause": (
        OBSERVED,
        "count(case when known.is_purchase then 1 end) as purchase_days",
        "count(*) filter (where true) as purchase_days",
        "Syntax error",
    ),
    "a cast with colons": (
        OBSERVED,
        "cast(order_count as int64) as order_count",
        "order_count::int64 as order_count",
        "Syntax error",
    ),
    "the type double": (
        OBSERVED,
        "cast(value_amount as float64)",
        "cast(value_amount as double)",
        "Type not found: double",
    ),
    "the type varchar": (
        STAGED,
        "cast(sku as string)",
        "cast(sku as varchar)",
        "varchar",
    ),
    "a whole-number division": (
        OBSERVED,
        "purchase_days - 1 as frequency",
        "purchase_days // 2 as frequency",
        "Syntax error",
    ),
    "a remainder": (
        OBSERVED,
        "purchase_days - 1 as frequency",
        "purchase_days % 2 as frequency",
        "Syntax error",
    ),
    "an unknown function": (
        RESOLVED,
        "cast(transacted_at as date) as transaction_date",
        "strftime(transacted_at, '%Y') as transaction_date",
        "Function not found: strftime",
    ),
    "a median": (
        OBSERVED,
        "sum(case when known.is_purchase then known.order_count else 0 end)",
        "median(known.order_count)",
        "Function not found: median",
    ),
    "a percentile without a window": (
        OBSERVED,
        "sum(case when known.is_purchase then known.order_count else 0 end)",
        "percentile_cont(known.order_count, 0.5)",
        "OVER",
    ),
    "a function of ZetaSQL alone": (
        WIDE,
        "] as ln_spend_quantiles",
        "] as ln_spend_quantiles, array_max([1.0]) as top",
        "not in BigQuery",
    ),
    "a series of DuckDB": (
        COHORTS,
        "unnest(generate_array(",
        "unnest(generate_series(",
        "Function not found: generate_series",
    ),
    "exclude instead of except": (
        MART,
        "select\n        united.*,",
        "select\n        united.* exclude (age_days),",
        "Syntax error",
    ),
    "a qualify without a window": (
        OBSERVED,
        "from stratified",
        "from stratified qualify frequency > 1",
        "QUALIFY",
    ),
    "a window in where": (
        OBSERVED,
        "from stratified",
        "from stratified where row_number() over (order by customer_id) = 1",
        "Analytic function not allowed in WHERE",
    ),
    "a union of two types": (
        MART,
        "cast(null as date) as last_purchase_date",
        "cast(null as string) as last_purchase_date",
        "incompatible types",
    ),
    "a union of two widths": (
        DAYS,
        "from before_refunds",
        ", 1 as more from before_refunds",
        "mismatched column count",
    ),
    "a bare union": (DAYS, "union all", "union", "Syntax error"),
    "text compared with a number": (
        OBSERVED,
        "from stratified",
        "from stratified where customer_id = 1",
        "No matching signature for operator =",
    ),
    "alternatives of two types": (
        DAYS,
        "then line_count else 1 end",
        "then line_count else 'none' end",
        "CASE",
    ),
    "the sum of a flag": (
        DAYS,
        "sum(case when completes_refund then 1 else 0 end)",
        "sum(completes_refund)",
        "No matching signature for aggregate function SUM",
    ),
    "an array of two types": (
        WIDE,
        "ln_spend_q00, 0.0",
        "'', 'none'",
        "Array elements",
    ),
    "a field of an array": (
        WIDE,
        "in_30_days.ln_spend_quantiles as",
        "in_30_days.ln_spend_quantiles.first as",
        "Cannot access field first",
    ),
    "an array index that is text": (
        WIDE,
        "in_30_days.ln_spend_quantiles as",
        "in_30_days.ln_spend_quantiles['0'] as",
        "Array position",
    ),
    "two columns of one name": (
        OBSERVED,
        "    stratum,\n",
        "    stratum,\n    stratum,\n",
        "duplicate name stratum",
    ),
    "a column without a name": (
        OBSERVED,
        "purchase_days - 1 as frequency",
        "purchase_days - 1",
        "column 5 has no name",
    ),
    "a missing comma": (
        OBSERVED,
        "    stratum,\n",
        "    stratum stratum\n",
        "Syntax error",
    ),
    "an open parenthesis": (
        OBSERVED,
        "count(case when known.is_purchase then 1 end)",
        "count(case when known.is_purchase then 1 end",
        "Syntax error",
    ),
    "a nested aggregate": (
        OBSERVED,
        "sum(case when known.is_purchase then known.order_count else 0 end)",
        "sum(max(known.order_count))",
        "Aggregations of aggregations",
    ),
    "the date of nowhere": (
        DAYS,
        "is_counted and not is_refund",
        "transaction_date > date '2024-13-40'",
        "Invalid DATE literal",
    ),
    # What the analyzer allows and the project does not.
    "a cross join of customers": (
        OBSERVED,
        "on known.cutoff_date = caps.cutoff_date",
        "on known.cutoff_date = caps.cutoff_date cross join (select customer_id from "
        "`example-project`.`clv_intermediate`.`int_purchase_days`) as other",
        "cross join",
    ),
    "an outer join on one side's flag": (
        OBSERVED,
        "on known.cutoff_date = caps.cutoff_date",
        "on known.is_purchase",
        "an outer join without an equality of both sides",
    ),
    "a comma that joins customers": (
        OBSERVED,
        "on known.cutoff_date = caps.cutoff_date",
        "on known.cutoff_date = caps.cutoff_date, "
        "`example-project`.`clv_intermediate`.`int_purchase_days` as other",
        "cross join",
    ),
    "a window over all customers": (
        MART,
        "select\n        united.*,",
        "select\n        united.* except (frequency),\n"
        "        ntile(5) over (order by clv_30d) as frequency,",
        "window without partition by",
    ),
    "every column of a source": (
        STAGED,
        " as user_id,",
        f" as user_id, * except ({', '.join(CONTRACT['transactions'])}),",
        "select *",
    ),
    "the clock": (
        RESOLVED,
        "cast(transacted_at as date) as transaction_date",
        "current_date() as transaction_date",
        "depend on the day",
    ),
    "a fifth cluster column": (
        MART,
        "OPTIONS(",
        "cluster by clv_source, frequency, age_days, order_count, customer_id OPTIONS(",
        "5 cluster columns",
    ),
    "a cluster of fractions": (
        MART,
        "OPTIONS(",
        "cluster by clv_30d OPTIONS(",
        "floating point",
    ),
    "a partition of text": (
        MART,
        "OPTIONS(",
        "partition by customer_id\nOPTIONS(",
        "not a DATE",
    ),
}


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory):
    """Return the real models, built; their statements are there to plant faults in."""
    built = check_bigquery.Warehouse(
        check_bigquery.GoogleSql(),
        check_bigquery.PROJECT,
        tmp_path_factory.mktemp("dbt"),
    )
    tests = ("test", "unit_test")
    selection = tuple(f"--exclude-resource-type={kind}" for kind in tests)
    check_bigquery.build(built, {}, selection=selection, again=False)
    return built


def key_of(warehouse, model):
    """Return dbt's key of a model, with its version if it has one."""
    form = rf"model\.clv\.{model}(\.v\d+)?"
    return next(key for key in warehouse.nodes if re.fullmatch(form, key))


def statement(warehouse, model):
    """Return what dbt sent to create a model, without the clusters it has."""
    key = key_of(warehouse, model)
    sql = next(
        sql
        for node, sql in warehouse.statements
        if node == key and re.search(r"create or replace", sql)
    )
    return re.sub(r"\n *(?:partition|cluster) by [^\n]*\n(?=\s*OPTIONS)", "\n", sql)


def faults_of(warehouse, model, sql):
    before = len(warehouse.faults)
    tables = dict(warehouse.google.tables)
    with contextlib.suppress(check_bigquery.SqlError):
        warehouse.check(sql, key_of(warehouse, model))
    warehouse.google.tables = tables
    found = warehouse.faults[before:]
    del warehouse.faults[before:]
    return found


def test_the_models_pass(warehouse):
    assert warehouse.faults == []
    nodes = {node for node, _ in warehouse.statements}
    sql_models = {
        key
        for key, node in warehouse.nodes.items()
        if key.startswith("model.") and node.language == "sql"
    }
    assert sql_models <= nodes


@pytest.mark.parametrize("model", sorted({model for model, *_ in PLANTED.values()}))
def test_a_model_passes_as_it_is(warehouse, model):
    assert faults_of(warehouse, model, statement(warehouse, model)) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(warehouse, name):
    model, sound, planted, sentence = PLANTED[name]
    sql = statement(warehouse, model)
    assert sound in sql
    faults = faults_of(warehouse, model, sql.replace(sound, planted, 1))
    assert faults
    assert re.search(re.escape(sentence), str(faults[0]), re.IGNORECASE), faults[0]
    assert faults[0].node == model
    assert faults[0].file.endswith(f"{model}.sql")


def test_a_dataset_that_is_there_is_not_made_again(warehouse):
    sql = "create schema if not exists `example-project`.`clv_state`"
    [fault] = faults_of(warehouse, MART, sql)
    assert "bigquery.datasets.create" in str(fault)


def test_a_function_reads_its_own_dataset_alone(warehouse):
    sql = next(sql for _, sql in warehouse.statements if "table function" in sql)
    assert faults_of(warehouse, MART, sql) == []
    private = "`clv_state`.`registry_parameters`"
    sql = sql.replace("`clv`.`model_registry`", private).replace("status =", "season =")
    [fault] = faults_of(warehouse, MART, sql)
    assert "clv_state.registry_parameters, of another dataset" in str(fault)


def reads_of_one_cte(times):
    """Return a statement that reads a CTE over a table that grows so many times."""
    reads = " union all ".join(["select customer_id from few"] * times)
    table = "`example-project`.`clv_intermediate`.`int_purchase_days`"
    return f"with few as (select customer_id from {table}) {reads}"


def tripled(times, last="number"):
    """Return a statement whose column uses that of the CTE before three times over."""
    table = f"`example-project`.`clv_intermediate`.`{OBSERVED}`"
    steps = [f"step_0 as (select frequency as number from {table})"] + [
        f"step_{n} as (select number + number * number as number from step_{n - 1})"
        for n in range(1, times + 1)
    ]
    return f"with {', '.join(steps)} select {last} as number from step_{times}"


IN_A_SUBQUERY = "(select sum(number * one) from unnest([1, 2]) as one where number > 0)"


@pytest.mark.parametrize(
    ("sound", "planted", "sentence"),
    [
        (reads_of_one_cte(40), reads_of_one_cte(41), "are scanned 41 times"),
        (tripled(7), tripled(8), "an expression of 32,801 nodes"),
        (tripled(7), tripled(7, IN_A_SUBQUERY), "an expression of 32,812 nodes"),
    ],
)
def test_what_bigquery_computes_anew_is_counted(warehouse, sound, planted, sentence):
    assert faults_of(warehouse, MART, sound) == []
    [fault] = faults_of(warehouse, MART, planted)
    assert sentence in str(fault)


T, DAY = "`p.d.t`", "d >= date '2024-05-01'"
WITH = f"with few as (select * from {T})"
INTO = (
    f"merge into {T} as t using (select k, v, d from `p.d.u` where {DAY}) as s on false"
)


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        # A CTE is written out where it is used, and a filter on it where it is read.
        (f"{WITH} select v from few where {DAY}", {"t": ("d v", 1)}),
        (
            f"{WITH} select v from few where {DAY} union all select k from few",
            {"t": ("d k v", 0)},
        ),
        # What only inserts reads nothing of what it inserts into.
        (f"{INTO} when not matched then insert row", {"u": ("d k v", 1)}),
        (
            f"{INTO} when not matched by source and t.{DAY} then delete "
            "when not matched then insert row",
            {"t": ("*", 1), "u": ("d k v", 1)},
        ),
        (f"delete from {T} where k = 1 and {DAY}", {"t": ("*", 1)}),
    ],
)
def test_a_plan_knows_what_a_statement_is_billed(warehouse, sql, read):
    google = warehouse.google
    columns = {"k": "INT64", "v": "INT64", "d": "DATE"}
    google.tables |= {"p.d.t": columns, "p.d.u": columns}
    plan = check_bigquery.Plan(google.analyze(sql).statement, {})
    found = {
        name[-1]: (
            " ".join(sorted(set().union(*(one.columns for one in reads)))),
            min(len(one.bounds) for one in reads),
        )
        for name, reads in plan.reads.items()
    }
    assert found == read


@pytest.fixture
def daily(warehouse):
    """Return the warehouse, as if its statements were those of a daily run."""
    warehouse.is_daily = True
    yield warehouse
    warehouse.is_daily = False


@pytest.mark.parametrize(
    ("model", "table"),
    [
        (RESOLVED, "clv_staging.stg_transactions"),
        ("int_refunds__moves", "clv_intermediate.int_transactions__resolved"),
        (DAYS, "clv_intermediate.int_transactions__resolved"),
        (DAYS, "clv_intermediate.int_refunds__matched"),
        ("int_purchases__to_date", "clv_intermediate.int_purchase_days"),
        (ORDERS, "clv_intermediate.int_transactions__resolved"),
        (COHORTS, "clv_intermediate.int_purchase_days"),
    ],
)
def test_a_daily_run_may_not_read_all_of_the_history(daily, model, table):
    found = [str(fault) for fault in faults_of(daily, model, statement(daily, model))]
    assert any(f"a daily run reads all of {table}" in fault for fault in found)


def test_a_daily_run_may_read_the_history_from_a_date_on(daily):
    sql = statement(daily, ORDERS).replace(
        "is_counted", "is_counted and transaction_date >= date '2024-01-01'"
    )
    assert faults_of(daily, ORDERS, sql) == []
    other_column = sql.replace("transaction_date >=", "cast(transacted_at as date) >=")
    assert faults_of(daily, ORDERS, other_column)


def test_every_statement_of_a_script_is_analysed(warehouse):
    script = "select \"a;b\" as one; -- no end;\nselect 'c;' as two;\n"
    found = list(check_bigquery.statements(script))
    assert [one.strip() for one in found] == [
        'select "a;b" as one',
        "-- no end;\nselect 'c;' as two",
    ]


def test_a_fault_names_the_line_of_the_compiled_file(warehouse):
    sql = statement(warehouse, OBSERVED)
    compiled = next(warehouse.target_path.rglob(f"compiled/**/{OBSERVED}.sql"))
    wrong = compiled.read_text().replace("known.order_count", "known.wrong")
    sound = compiled.read_text()  # and the wrong one as dbt would have written it
    compiled.write_text(wrong)
    faults = faults_of(
        warehouse, OBSERVED, sql.replace("known.order_count", "known.wrong")
    )
    compiled.write_text(sound)
    line = next(n for n, s in enumerate(wrong.splitlines(), 1) if "known.wrong" in s)
    column = wrong.splitlines()[line - 1].index("wrong") + 1
    assert faults[0].position == (line, column)
    assert str(faults[0]).endswith(
        "| sum(case when known.is_purchase then known.wrong else 0 end)"
    )


# --- a small project, as dbt builds it ----------------------------------------------

PROJECT = """
name: small
version: "1.0"
profile: small
"""
PROFILES = """
small:
  target: bigquery_offline
  outputs:
    bigquery_offline:
      {type: bigquery, method: oauth-secrets, token: offline, project: example-project,
       dataset: small, threads: 1}
"""
SOURCES = """
sources:
  - name: raw
    database: example-project
    schema: raw
    tables: [{name: transactions}]
models:
  - name: sound
    config: {materialized: table, contract: {enforced: true}}
    columns:
      - {name: lines, data_type: int64, data_tests: [not_null]}
      - {name: user_id, data_type: string}
  - name: wrong_type
    config: {materialized: table, contract: {enforced: true}}
    columns: [{name: user_id, data_type: int64}]
  - name: wrong_name
    config: {materialized: table, contract: {enforced: true}}
    columns: [{name: customer_id, data_type: string}]
  - name: compared
    columns: [{name: user_id, data_tests: [not_null, {accepted_values: {arguments:
      {values: [1, 2], quote: false}}}]}]
unit_tests:
  - name: lines_are_counted
    model: sound
    given:
      - {input: ref('tested'), rows: [{user_id: c1}, {user_id: c1}]}
    expect: {rows: [{user_id: c1, lines: 2}]}
  - name: a_fixture_of_a_column_that_is_not_there
    model: dated
    given:
      - {input: ref('changing'), rows: [{days: "2024-01-31"}]}
    expect: {rows: [{day: "2024-01-31"}]}
  - name: a_share_of_nothing
    model: divided
    given: [{input: ref('sound'), rows: [{user_id: c1, lines: 0}]}]
    expect: {rows: [{user_id: c1, share: null}]}
  - name: a_text_with_nothing_is_not_the_text
    model: named
    given: [{input: ref('sound'), rows: [{user_id: null, lines: 1}]}]
    expect: {rows: [{name: "1-"}]}
"""
MODELS = {
    "tested.sql": "select user_id from {{ source('raw', 'transactions') }}",
    "sound.sql": (
        "select user_id, count(*) as lines from {{ ref('tested') }} group by 1"
    ),
    "compared.sql": "select user_id from {{ ref('tested') }}",
    "wrong_type.sql": "select user_id from {{ ref('tested') }}",
    "wrong_name.sql": "select user_id from {{ ref('tested') }}",
    "fitted.py": (
        "import pandas as pd\n\n\ndef model(dbt, session):\n"
        "    frame = dbt.ref('sound')\n"
        "    return pd.DataFrame({'user_id': frame['user_id'].astype('string'),\n"
        "                         'rate': pd.Series(dtype='float64')})\n"
    ),
    "reads_python.sql": "select user_id, rate from {{ ref('fitted') }}",
    "misreads_python.sql": "select user_id, rates from {{ ref('fitted') }}",
    "changing.sql": (
        "{{ config(materialized='incremental', unique_key='day') }}\n"
        "select day, 1 as lines from unnest([date '2024-01-31']) as day\n"
        "{% if is_incremental() %}\nwhere exists (select wrong from {{ this }})\n"
        "{% endif %}"
    ),
    "divided.sql": "select user_id, 6 / lines as share from {{ ref('sound') }}",
    "named.sql": (
        "select concat(cast(lines as string), '-', user_id) as name "
        "from {{ ref('sound') }}"
    ),
    "dated.sql": "select day from {{ ref('changing') }}",
}
SNAPSHOT = """
{% snapshot remembered %}
{{ config(unique_key='day', strategy='check', check_cols=['lines']) }}
select day, lines from {{ ref('changing') }}
{% endsnapshot %}
"""


@pytest.fixture(scope="session")
def small(tmp_path_factory, warehouse):
    """Return the report on a small project, and a function that builds parts of it."""
    root = tmp_path_factory.mktemp("small")
    for folder in ("models", "snapshots"):
        (root / folder).mkdir()
    (root / "dbt_project.yml").write_text(PROJECT)
    (root / "profiles.yml").write_text(PROFILES)
    (root / "models" / "models.yml").write_text(SOURCES)
    (root / "snapshots" / "remembered.sql").write_text(SNAPSHOT)
    for name, code in MODELS.items():
        (root / "models" / name).write_text(code)

    def run(*selection):
        one = check_bigquery.Warehouse(warehouse.google, root, root / "target")
        tables = warehouse.google.tables
        try:
            check_bigquery.build(one, {}, selection=selection)
        finally:
            warehouse.google.tables = tables
        return one

    return run


def test_faults_that_only_a_build_meets_are_found(small):
    found = {fault.node: str(fault) for fault in small().faults}
    assert "INT64" in found.pop("wrong_type").upper()
    assert "customer_id" in found.pop("wrong_name")
    assert "rates" in found.pop("misreads_python")
    test = next(name for name in found if name.startswith("accepted_values"))
    assert "No matching signature for operator" in found.pop(test)
    assert "days" in found.pop("a_fixture_of_a_column_that_is_not_there")
    # Both pass on DuckDB: it divides by zero, and its concat skips what is null.
    assert "division by zero" in found.pop("a_share_of_nothing")
    named = found.pop("a_text_with_nothing_is_not_the_text")
    assert "actual differs from expected" in named
    assert found == {}


def test_what_is_built_upon_itself_is_built_twice(small):
    built = small("--select", "changing", "remembered")
    assert [fault.node for fault in built.faults] == ["changing"]
    assert "Unrecognized name: wrong" in str(built.faults[0])
