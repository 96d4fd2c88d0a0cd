"""Have Google's analyzer read every statement that a build sends to BigQuery.

usage: check_bigquery.py [--project-dir DIR] [--target-path DIR] [--variant NAME]

Runs `dbt build` in this process against a BigQuery that knows names and types only and
needs neither an account nor a network. It takes the place of Google's client library
below dbt-bigquery, gives each statement to the analyzer (see googlesql.py), keeps the
columns that come out, and answers with empty tables. So what is analysed is what dbt
would send, in its order: hooks and the checks of the input, seeds, models as the
`create` that dbt writes around them, with their contracts, and data tests; incremental
models and snapshots are built twice. Unit tests read literals alone, so that Google's
reference implementation runs them: what they expect must hold by BigQuery's arithmetic
and its nulls.

The types of sources are those of load_input.py; of tables of state, those they are
created with; of Python models, those of the frame that the model's own function returns
for empty tables. A variant is another set of variables, so that every branch of the
Jinja is read (see VARIANTS); unit tests, which set their own, are read once.

What a build must not cost is checked on the resolved statements: no `select *` from a
source, no cross join and no window over everything where the number of rows grows with
customers, no statement that scans tables over and over or explodes when its columns are
written out (see query_plans.py), nothing that depends on the day it runs, and
BigQuery's limits on partitions and clusters, which the analyzer does not know. After
the default variant comes a daily run (selector daily_scoring): none of its statements,
tests and hooks included, may read a table that grows with the log without a date, known
before it runs, to start from.

Prints a line per fault, as `node: file:line:column: sentence | the line`, lines counted
in the SQL as compiled, and exits with 1 when there is one.
"""

import argparse
import contextlib
import importlib.util
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import pyarrow as pa
from dbt.adapters.bigquery import connections, impl
from dbt.cli.main import dbtRunner
from dbt_common.events.contextvars import get_node_info
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud.bigquery import Row, SchemaField, Table
from googlesql import GoogleSql, Node, Resolved, SqlError, type_name, type_pb2
from load_input import CONTRACT
from query_plans import Plan, columns_of, conditions, function_name, referenced
from quick_dbt import hurry
from report_panels import PRICED, READS, UNPRICED, marts_of

PROJECT = Path(__file__).resolve().parent.parent
TARGET = "bigquery_offline"

# Together they take every branch of the Jinja. In one of them every column of a source
# is text, as some loaders deliver it: then check_inputs looks for what cannot be cast.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "visits": {
        "clv_value": "none",
        "clv_strata": ["country", "first_channel"],
        "clv_customer_grain": "account",
        "clv_duplicates": "rows",
        "clv_time_zone": "Europe/Berlin",
        "clv_as_of_date": "2024-12-31",
        "clv_period": "month",
        "clv_export_value": "value",
        "clv_consent": "required",
        "clv_export_key": "subscriber_key",
        "clv_consent_channels": ["email", "push"],
        "clv_holdout_share": {"winback": 0.2, "upsell": 0.1},
        "clv_offer_caps": {"default": 25, "Champions": 50},
        "clv_stop_campaigns": True,
    },
    "transactions alone": {
        "clv_value": "revenue",
        "clv_duplicates": "none",
        "clv_purchase_model": {"default": "mbgnbd", "all": "paretonbd"},
        "clv_challenger_models": ["bgnbd", "mbgcnbd"],
        "clv_season": "none",
        "clv_overlay": True,
        "clv_overlay_candidates": ["offset", "free", "two_stage"],
        "clv_input_tables": dict.fromkeys(CONTRACT) | {"transactions": "transactions"},
        "clv_export_value": "none",
        "clv_fail_on": "page",
        "clv_consent": "managed_at_destination",
        "clv_offer_cap_by_uplift": False,
    },
}
TEXT_SOURCES = "visits"

# What load_input.py calls a type → BigQuery's name of it.
TYPES = {
    "varchar": "STRING",
    "bigint": "INT64",
    "boolean": "BOOL",
    "decimal(18, 4)": "NUMERIC",
    "double": "FLOAT64",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
ARROW = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "NUMERIC": pa.decimal128(38, 9),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
}

# Relations whose rows do not grow with customers or transactions: one row, or one per
# cutoff, stratum, month, currency, category or segment.
BOUNDED = {
    "accepted_loads",
    "int_loads__profiled",
    "int_loads__checked",
    "int_logs__chosen",
    "int_logs",
    "int_as_of",
    "int_cutoffs",
    "int_readiness",
    "int_purchases__regularity",
    "forecast_readiness",
    "int_season__days",
    "int_season__observed",
    "int_season__outcomes",
    "int_season",
    "promotion_days",
    "season_prior",
    "int_purchases__parameters",
    "int_parameters",
    "int_drift__windows",
    "int_drift__histograms",
    "score_distribution",
    "int_calibration__histograms",
    "int_tracking_curve",
    "alert_measures",
    "score_profiles",
    "run_results",
    "alert_rules",
    "data_freshness",
    "score_coverage",
    "feature_drift",
    "segment_stability",
    "model_calibration",
    "model_tracking",
    "int_gamma_gamma__parameters",
    "int_rfm__cut_points",
    "int_candidate",
    "int_backtest__spec",
    "int_gate__cutoff",
    "int_gate__backtested",
    "int_gate__scored",
    "int_registry__statuses",
    "int_registry__decisions",
    "int_serving",
    "int_closed_until",
    "registry_parameters",
    "registry_events",
    "model_registry",
    "int_calibration",
    "int_calibration__bounds",
    "int_corrections",
    "int_cohorts__weekly",
    "int_cohorts__predicted",
    "int_cohort_forecast",
    "int_cohorts__monthly",
    "int_monthly_forecast",
    "int_new_customer_value",
    "int_revenue",
    "revenue_forecast",
    "revenue_forecast_backtest",
    "acquisition_forecast",
    "cohort_forecast_backtest",
    "cohort_forecast",
    "country_regions",
    "int_shared_errors",
    "customer_equity",
    "int_equity__today",
    "equity_history",
    "customer_equity_daily",
    "model_parameters",
    "forecast_corrections",
    "revenue_reconciliation",
    "cohorts",
    "cohort_clv",
    "decile_migration",
    "growth_accounting",
    "new_and_returning",
    "second_purchases",
    "segment_growth",
    "currency_rates",
    "margin_rates",
    "rfm_segments",
    "int_segments__inactivity",
    "int_segments__computed_cut_points",
    "int_segments__frozen_cut_points",
    "int_segments__cut_points",
    "clv_segments",
    "campaign_plans",
    "campaign_guardrails",
    "campaign_uplift",
    "int_overlay__windows",
    "int_overlay__trees",
    "int_overlay__feature_names",
    "int_overlay__packed_trees",
    "int_overlay__losses",
    "int_overlay__decisions",
}
MAXIMUM_CLUSTER_COLUMNS = 4
# Far below where BigQuery's planner gives up; it names no number.
MAXIMUM_SCANS, MAXIMUM_NODES = 40, 15_000
# Views of the export that scan more often, by themselves or in what reads them: each
# goes from here as soon as it does not.
SCANNED_OFTEN = {
    "export_marketing_cloud__audience",
    "export_marketing_cloud__checks",
    "export_marketing_cloud__delta",
    "export_marketing_cloud__exclusions",
}
# Model → its own limits of scans and nodes. With horizons as rows this one needs four
# scans, but spilled on the emulator.
LIMITS = {"int_predictions__pit": (64, 80_000)}

# What builds on itself, whose second statement differs from its first.
AGAIN = (
    *("--select", "config.materialized:incremental", "config.materialized:snapshot"),
    *("--exclude-resource-type", "test", "unit_test"),
)
# A daily run, after a full one of the same variables.
DAILY = {"clv_run": "daily", "clv_as_of_date": "2024-12-31"}
DAILY_SELECTION = ("--selector", "daily_scoring")
# Relations that grow with the log → the column their partitions are pruned by.
HISTORY = {
    "clv_raw.transactions": "ts",
    "clv_raw.events": "ts",
    "clv_staging.stg_transactions": "transacted_at",
    "clv_staging.stg_events": "occurred_at",
    "clv_intermediate.int_transactions__resolved": "transaction_date",
    "clv_intermediate.int_refunds__matched": "refund_date",
    "clv_intermediate.int_purchase_days": "purchase_date",
    "clv_intermediate.int_purchase_days__known": "purchase_date",
    "clv.transactions": "transaction_date",
}

QUOTED = re.compile(
    r"--[^\n]*|#[^\n]*|/\*.*?\*/"
    r'|"{3}(?:[^\\]|\\.)*?"{3}|"(?:[^"\\]|\\.)*"'
    r"|'(?:[^'\\]|\\.)*'",
    re.DOTALL,
)
STAR = re.compile(r"(?:\bselect|\bdistinct|,|\.)\s*\*", re.IGNORECASE)
# What dbt writes around a query: options, with parentheses two levels deep, and false.
AROUND = re.compile(
    r"\boptions\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
    r"|\bfalse and current_timestamp\(\) = current_timestamp\(\)",
    re.IGNORECASE,
)
CLOCK = re.compile(r"\bcurrent_(?:date|time|timestamp|datetime)\b", re.IGNORECASE)


class Fault(NamedTuple):
    """One line of the report."""

    node: str
    file: str
    position: tuple[int, int] | None
    sentence: str
    line: str = ""

    def __str__(self) -> str:
        where = self.file
        if self.position:
            where += f":{self.position[0]}:{self.position[1]}"
        text = f"{self.node}: {where}: {' '.join(self.sentence.split())}"
        return f"{text} | {self.line}" if self.line else text


# --- what a statement must not cost --------------------------------------------------


def grows(scan: Node, entries: dict[str, Node]) -> bool:
    """Return whether the rows of a scan can grow with customers or transactions.

    Args:
        scan: the resolved scan.
        entries: CTEs of the statement by name.
    """
    if scan.name == "TableScan":
        name = scan.get("table")[0].get("full_name")[0].decode()
        return name.rsplit(".", 1)[-1] not in BOUNDED
    if scan.name == "WithRefScan":
        return grows(entries[scan.get("with_query_name")[0].decode()], entries)
    if scan.name == "AggregateScan" and not scan.get("group_by_list"):
        return False
    # Other children are columns and expressions.
    inputs = ("Scan", "ScanBase", "SetOperationItem")
    return any(
        grows(one, entries) for one in scan.children() if one.name.endswith(inputs)
    )


def is_planned(join: Node) -> bool:
    """Return whether BigQuery's planner takes an outer join.

    It wants an equality of both sides, or a constant; the analyzer does not.
    """
    sides = [set(columns_of(join.get(f"{side}_scan")[0])) for side in ("left", "right")]
    parts = list(conditions(join.get("join_expr")[0]))
    for part in parts:
        if function_name(part) == "$equal":
            one, other = map(referenced, part.get("argument_list"))
            if (one and other) and any(
                one <= sides[here] and other <= sides[1 - here] for here in (0, 1)
            ):
                return True
    return not any(referenced(part) for part in parts)


def cost_faults(
    statement: Node, views: dict[str, Resolved], scans: float, nodes: float
) -> Iterator[str]:
    """Joins and windows whose work is more than their input, or in one worker.

    And what BigQuery computes anew: a CTE for each reader, a column for each use.
    """
    plan = Plan(statement, views, lambda name: name.rsplit(".", 1)[-1] not in BOUNDED)
    if plan.scans > scans:
        yield f"tables that grow are scanned {plan.scans} times: {scans} at most"
    if plan.nodes > nodes:
        yield (
            f"an expression of {plan.nodes:,} nodes when what it reads is written out: "
            f"{nodes:,} at most"
        )
    every = list(statement.walk())
    entries = {
        node.get("with_query_name")[0].decode(): node.get("with_subquery")[0]
        for node in every
        if node.name == "WithEntry"
    }
    for node in every:
        if node.name == "JoinScan" and not node.get("join_expr"):
            sides = (node.get("left_scan")[0], node.get("right_scan")[0])
            if all(grows(side, entries) for side in sides):
                yield "a cross join of two relations that grow with customers"
        elif node.name == "JoinScan" and any(node.get("join_type")):
            if not is_planned(node):
                yield "an outer join without an equality of both sides"
        if node.name == "AnalyticScan" and grows(node.get("input_scan")[0], entries):
            for group in node.get("function_group_list"):
                if not group.get("partition_by"):
                    yield "a window without partition by over rows that grow"


def text_faults(
    sql: str, unique_id: str, sources: set[str], tables: list[str]
) -> Iterator[str]:
    code = AROUND.sub(" ", QUOTED.sub(" ", sql))
    if STAR.search(code) and (read := sources.intersection(tables)):
        yield f"select * in a statement that reads the source {min(read)}"
    # A snapshot says when it saw a row.
    if not unique_id.startswith("snapshot.") and (found := CLOCK.search(code)):
        yield f"{found.group()}: the result would depend on the day it runs"


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, each on the lines where it stands there."""
    code = QUOTED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), script)
    start = 0
    for end in [found.start() for found in re.finditer(";", code)] + [len(script)]:
        if code[start:end].strip():
            yield "\n" * script.count("\n", 0, start) + script[start:end]
        start = end + 1


def history_faults(sql: str, resolved: Resolved) -> Iterator[str]:
    """Reads of a table that grows with the log, but for those that start at a date."""
    scans: dict[str, int] = {}
    for node in resolved.statement.walk():
        # Without a column, as in `select 1 ... limit 1`, nothing is read.
        if node.name == "TableScan" and node.get("column_list"):
            name = node.get("table")[0].get("full_name")[0].decode()
            name = name.partition(".")[2]
            scans[name] = scans.get(name, 0) + 1
    if resolved.statement.name == "MergeStmt":
        # The table merged into: `when not matched by source` names its partitions.
        target = re.search(r"\bmerge\s+into\s+([\w`.-]+)", sql, re.IGNORECASE)[1]
        scans[target.replace("`", "").partition(".")[2]] -= 1
    for name in HISTORY.keys() & scans.keys():
        column = rf"\b{HISTORY[name]}\b(?: as \w+\))? >= (?:date|timestamp) '[\d-]+'"
        if scans[name] > len(re.findall(column, sql)):
            yield f"a daily run reads all of {name}: no first {HISTORY[name]} is given"


def layout_faults(sql: str, columns: dict[str, str]) -> Iterator[str]:
    """BigQuery's limits on the partition and the clusters of a table."""
    head = re.split(r"\b(?:options\s*\(|as\s*\()", sql, maxsplit=1, flags=re.I)[0]
    found = re.search(r"partition by\s+`?(\w+)`?\s*(?:\n|$|cluster)", head, re.I)
    if found and columns.get(found[1]) != "DATE":
        yield f"partitioned by {found[1]}, a {columns.get(found[1])}, not a DATE"
    if found := re.search(r"cluster by\s+([\w`, ]+)", head, re.I):
        names = re.findall(r"\w+", found[1])
        if len(names) > MAXIMUM_CLUSTER_COLUMNS:
            yield f"{len(names)} cluster columns: {MAXIMUM_CLUSTER_COLUMNS} at most"


# --- a BigQuery of names and types --------------------------------------------------


class Answer(list):
    """Rows as the client library gives them."""

    def __init__(
        self,
        columns: list[tuple[str, str]],
        rows: list[dict[str, Any]] | None = None,
    ):
        self.schema = [SchemaField(name, kind) for name, kind in columns]
        index = {name: number for number, (name, _) in enumerate(columns)}
        is_count = bool(columns) and all(k in ("INT64", "BOOL") for _, k in columns)
        if rows is None and is_count:
            # Counts and flags, as data tests ask for: nothing was found.
            self.append(Row([0 if k == "INT64" else False for _, k in columns], index))
        for row in rows or []:
            self.append(Row([row[name] for name in index], index))
        self.total_rows = len(rows or [])


class Warehouse:
    """What dbt-bigquery uses of google.cloud.bigquery.Client.

    Attributes:
        google: the analyzer, with the columns of every relation there is.
        faults: what was found.
        statements: (node, SQL) of everything that was sent.
    """

    def __init__(self, google: GoogleSql, root: Path, target_path: Path):
        self.google, self.root, self.target_path = google, root, target_path
        google.tables = {}
        self.views: dict[str, Resolved] = {}
        self.datasets: set[str] = set()
        self.sources: set[str] = set()
        self.faults: list[Fault] = []
        self.statements: list[tuple[str, str]] = []
        self.nodes: dict[str, Any] = {}
        self.is_daily = False

    def lay_out(self, nodes: dict[str, Any]) -> None:
        """See the nodes of the project before any is built."""

    # What the project sends.

    def check(self, sql: str, unique_id: str = "") -> Resolved:
        """Analyse a statement as that node's, and do what it says.

        Raises:
            SqlError: the first thing that is wrong with it.
        """
        self.statements.append((unique_id, sql))
        try:
            resolved = self.google.analyze(sql)
        except SqlError as error:
            self.faults.append(self.fault(sql, unique_id, error))
            raise
        statement = resolved.statement
        path = b".".join(statement.get("name_path")).decode()
        kind = statement.name
        sentences: list[str] = []
        if self.is_daily:
            sentences += history_faults(sql, resolved)
        if kind in (
            "QueryStmt",
            "CreateTableAsSelectStmt",
            "CreateViewStmt",
            "CreateTableFunctionStmt",
        ):
            sentences += text_faults(sql, unique_id, self.sources, resolved.tables)
            # A hook that counts what is wrong with the input keeps no other rows, and
            # a unit test has few.
            if not unique_id.startswith(("operation.", "unit_test.")):
                # Variants share most statements.
                if resolved.costs is None:
                    names = {name.rpartition(".")[2] for name in resolved.tables}
                    often = SCANNED_OFTEN & (names | set(unique_id.split(".")))
                    scans = float("inf") if often else MAXIMUM_SCANS
                    own = unique_id.rpartition(".")[2]
                    limits = LIMITS.get(own, (scans, MAXIMUM_NODES))
                    found = cost_faults(statement, self.views, *limits)
                    resolved.costs = list(found)
                sentences += resolved.costs
        if kind in ("CreateTableAsSelectStmt", "CreateViewStmt"):
            columns = defined_columns(statement) or dict(resolved.columns)
            self.google.tables[path] = columns
            self.views.pop(path, None)
            if kind == "CreateViewStmt":
                self.views[path] = resolved
            else:
                sentences += layout_faults(sql, columns)
        elif kind == "CreateSchemaStmt":
            if path in self.datasets:
                sentences.append(
                    "the dataset is there: BigQuery asks for bigquery.datasets.create"
                )
            self.datasets.add(path)
        elif kind == "CreateTableStmt":
            self.google.tables[path] = defined_columns(statement)
        elif kind == "CreateTableFunctionStmt":
            # No dataset lets functions in, as views: who calls one needs rights on all.
            here = path.rpartition(".")[0]
            sentences += [
                f"a function that reads {table}, of another dataset"
                for table in resolved.tables
                if table.rpartition(".")[0] != here
            ]
        elif kind == "DropStmt":
            self.google.tables.pop(path, None)
        for sentence in sentences:
            self.faults.append(self.fault(sql, unique_id, SqlError(sentence)))
        return resolved

    def run(self, sql: str, unique_id: str) -> tuple[list, list]:
        """Run a query that reads no table: its columns and rows, Google's.

        Raises:
            SqlError: the first thing that is wrong with it, also with a row.
        """
        self.statements.append((unique_id, sql))
        try:
            return self.google.evaluate(sql)
        except SqlError as error:
            self.faults.append(self.fault(sql, unique_id, error))
            raise

    def fault(self, sql: str, unique_id: str, error: SqlError) -> Fault:
        """Say where in the compiled file an error is; else where in the statement."""
        node = self.nodes.get(unique_id)
        file = node.original_file_path if node else "a statement of dbt"
        name = node.name if node else unique_id
        if not error.position:
            return Fault(name, file, None, error.message)
        line, column = error.position
        text = sql.splitlines()[line - 1].strip() if line else ""
        compiled = self.target_path / (getattr(node, "compiled_path", None) or "")
        compiled = self.root / compiled
        if node and compiled.is_file():
            text_of_file = compiled.read_text()
            code = text_of_file.strip()
            blank = text_of_file.partition(code)[0].count("\n")
            before, found, _ = sql.partition(code)
            skipped = before.count("\n")
            if found and skipped < line <= skipped + code.count("\n") + 1:
                if line == skipped + 1:
                    column -= len(before) - before.rfind("\n") - 1
                line -= skipped - blank
        return Fault(name, file, (line, column), error.message, text)

    def run_python_model(self, model: dict) -> None:
        """Keep the columns of what the model returns for empty tables."""
        name = model["alias"]
        path = self.root / model["original_file_path"]
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = model["config"]

        def setting(key: str, default: Any = None) -> Any:
            return config.get("meta", {}).get(key, config.get(key, default))

        def frame(*names: str) -> Any:
            found = next(t for t in self.google.tables if t.endswith(f".{names[-1]}"))
            columns = self.google.tables[found].items()
            fields = [(column, ARROW[kind]) for column, kind in columns]
            return pa.schema(fields).empty_table().to_pandas()

        class Config:
            get = staticmethod(setting)
            meta_get = staticmethod(setting)

            def __call__(self, **_: Any) -> None:
                """Stand for dbt.config(...)."""

        dbt = SimpleNamespace(config=Config(), ref=frame, source=frame)
        returned = pa.Schema.from_pandas(module.model(dbt, None), preserve_index=False)
        relation = f"{model['database']}.{model['schema']}.{name}"
        self.google.tables[relation] = {f.name: bigquery_type(f) for f in returned}

    # What dbt-bigquery calls.

    def query(self, query: str, **_: Any) -> SimpleNamespace:
        """Run a statement: its columns, and no row unless it only counts."""
        unique_id = get_node_info().get("unique_id", "")
        try:
            # What a unit test compares: it reads rows of its own, which Google runs.
            if "actual_or_expected" in query:
                kind, (columns, found) = "QueryStmt", self.run(query, unique_id)
                rows = Answer(columns, found)
            else:
                for statement in statements(query):
                    resolved = self.check(statement, unique_id)
                kind, columns = resolved.statement.name, resolved.columns
                rows = Answer(columns if kind == "QueryStmt" else [])
        except SqlError as error:
            raise BadRequest(str(error), errors=[{"message": str(error)}]) from None
        return SimpleNamespace(
            statement_type={
                "QueryStmt": "SELECT",
                "CreateTableAsSelectStmt": "CREATE_TABLE_AS_SELECT",
                "CreateViewStmt": "CREATE_VIEW",
                "MergeStmt": "MERGE",
                "InsertStmt": "INSERT",
            }.get(kind, kind),
            destination=self._table("example-project.clv.answer", dict(columns)),
            total_bytes_processed=0,
            total_bytes_billed=0,
            slot_millis=0,
            num_dml_affected_rows=0,
            location=None,
            job_id=None,
            project=None,
            result=lambda **_: rows,
        )

    def get_table(self, table: Any, **_: Any) -> Table:
        """Return the columns of a relation."""
        if isinstance(table, Table):
            return table
        name = f"{table.project}.{table.dataset_id}.{table.table_id}"
        if name not in self.google.tables:
            raise NotFound(name)
        return self._table(name, self.google.tables[name])

    def _table(self, name: str, columns: dict[str, str]) -> Table:
        fields = []
        for column, kind in columns.items():
            plain = kind.removeprefix("ARRAY<").removesuffix(">")
            mode = "NULLABLE" if plain == kind else "REPEATED"
            fields.append({"name": column, "type": plain, "mode": mode})
        project, dataset, table = name.split(".")
        return Table.from_api_repr(
            {
                "tableReference": {
                    "projectId": project,
                    "datasetId": dataset,
                    "tableId": table,
                },
                "type": "VIEW" if name in self.views else "TABLE",
                "schema": {"fields": fields},
                "numRows": "0",
            }
        )

    def list_tables(self, dataset: Any, **_: Any) -> list[Table]:
        """Return the relations of a dataset, which must be there."""
        if f"{dataset.project}.{dataset.dataset_id}" not in self.datasets:
            raise NotFound(dataset.dataset_id)
        start = f"{dataset.project}.{dataset.dataset_id}."
        tables = self.google.tables.items()
        return [self._table(name, c) for name, c in tables if name.startswith(start)]

    def list_datasets(self, **_: Any) -> list[SimpleNamespace]:
        """Return the datasets that there are."""
        names = sorted(name.split(".")[1] for name in self.datasets)
        return [SimpleNamespace(dataset_id=name) for name in names]

    def list_routines(self, *_: Any, **__: Any) -> list:
        """Return no function."""
        return []

    def get_routine(self, routine: Any, **_: Any) -> None:
        """Find no function."""
        raise NotFound(str(routine))

    def delete_table(self, table: Any, **_: Any) -> None:
        """Forget a relation."""
        self.google.tables.pop(
            f"{table.project}.{table.dataset_id}.{table.table_id}", None
        )

    def update_table(self, table: Any, *_: Any, **__: Any) -> Any:
        """Take a description as written."""
        return table

    def load_table_from_file(
        self, _: Any, table: Any, job_config: Any, **__: Any
    ) -> SimpleNamespace:
        """Keep the columns of a seed."""
        name = f"{table.project}.{table.dataset_id}.{table.table_id}"
        fields = job_config.schema
        self.google.tables[name] = {f.name: f.field_type.upper() for f in fields}
        done = SimpleNamespace(state="DONE", error_result=None)
        return SimpleNamespace(result=lambda **_: done)

    def close(self) -> None:
        """Nothing is open."""


def defined_columns(statement: Node) -> dict[str, str]:
    """Return the columns of a `create table` that says them."""
    columns = {}
    for column in statement.get("column_definition_list"):
        kind = type_pb2.TypeProto.FromString(column.get("type")[0].data)
        columns[column.get("name")[0].decode()] = type_name(kind)
    return columns


def bigquery_type(field: pa.Field) -> str:
    """Return the type that a column of a frame has in BigQuery."""
    if pa.types.is_integer(field.type):
        return "INT64"
    if pa.types.is_floating(field.type):
        return "FLOAT64"
    return next(name for name, kind in ARROW.items() if kind == field.type)


# --- a build ------------------------------------------------------------------------


def build(
    warehouse: Warehouse,
    variables: dict[str, Any],
    text: bool = False,
    selection: tuple[str, ...] = (),
    unit_tests: bool = True,
    again: bool = True,
) -> int:
    """Run `dbt build` in the warehouse; its faults say what is wrong.

    Args:
        warehouse: an empty one, or for a daily run one that holds a full one.
        variables: those that differ from dbt_project.yml.
        text: whether every column of the sources is text.
        selection: options of `dbt build` that say what to build; everything.
        unit_tests: whether they are run too, most of which set variables of their own.
        again: whether a full build's incremental models are built twice.

    Returns:
        How many nodes were skipped because of a fault before them.
    """
    options = [
        "--quiet",
        "--log-level=none",
        "--log-level-file=none",
        "--no-partial-parse",
        "--no-use-colors",
        "--no-write-json",
        f"--target={TARGET}",
        f"--project-dir={warehouse.root}",
        f"--profiles-dir={warehouse.root}",
        f"--target-path={warehouse.target_path}",
        f"--log-path={warehouse.target_path}",
        f"--vars={json.dumps(variables)}",
    ]
    hurry()
    parsed = dbtRunner().invoke(["parse", *options])
    if not parsed.success:
        sentence = str(parsed.exception)
        warehouse.faults.append(Fault("dbt parse", "dbt_project.yml", None, sentence))
        return 0
    manifest = parsed.result
    warehouse.is_daily = variables.get("clv_run") == "daily"
    warehouse.nodes = {**manifest.nodes, **(manifest.unit_tests if unit_tests else {})}
    warehouse.lay_out(manifest.nodes)
    tables = (variables.get("clv_input_tables") or dict.fromkeys(CONTRACT, "")).items()
    absent = {name for name, table in tables if table is None}
    for source in manifest.sources.values():
        # Tables of state are created by the build itself.
        if source.source_name != "clv_state" and source.name not in absent:
            name = f"{source.database}.{source.schema}.{source.identifier}"
            columns = CONTRACT[source.name].items()
            warehouse.google.tables[name] = {
                column: "STRING" if text else TYPES[kind] for column, kind in columns
            }
            warehouse.sources.add(name)

    def submit(_: Any, parsed_model: dict, __: str) -> impl.BigQueryAdapterResponse:
        warehouse.run_python_model(parsed_model)
        return impl.BigQueryAdapterResponse(_message="OK")

    whole = () if unit_tests else ("--exclude-resource-type", "unit_test")
    is_once = warehouse.is_daily or not again
    passes = [selection or whole, selection or AGAIN][: 1 if is_once else 2]
    skipped = 0
    with (
        patch.object(connections, "create_bigquery_client", lambda _: warehouse),
        patch.object(impl.BigQueryAdapter, "submit_python_job", submit),
    ):
        for each in passes:
            built = dbtRunner(manifest=manifest).invoke(["build", *options, *each])
            skipped += collect(warehouse, built)
            if warehouse.faults:
                break
    if not warehouse.faults and not selection:
        warehouse.faults += unseen(warehouse)
        read_page(warehouse, manifest, variables)
    return skipped


def read_page(warehouse: Warehouse, manifest: Any, variables: dict[str, Any]) -> None:
    """Have the queries of the page (report.py) read the marts that were built."""
    relations = {
        node.name: node.relation_name
        for node in manifest.nodes.values()
        if node.resource_type == "model"
    }
    columns = UNPRICED if variables.get("clv_value") == "none" else PRICED
    for name, query in READS.items():
        if set(marts_of(query)) <= set(relations):
            with contextlib.suppress(SqlError):  # which is kept as a fault
                sql = query.format(**relations, **columns)
                warehouse.check(sql, f"report.{name}")


def unseen(warehouse: Warehouse) -> Iterator[Fault]:
    """Yield the nodes of which no statement was analysed: there should be none."""
    seen = {unique_id for unique_id, _ in warehouse.statements}
    for unique_id, node in warehouse.nodes.items():
        silent = (
            node.resource_type == "operation"
            or not getattr(
                node.config, "enabled", True
            )  # a test of a model that is off
            or getattr(node, "language", "sql") == "python"
            or getattr(node.config, "materialized", "") == "ephemeral"
        )
        if not silent and unique_id not in seen:
            file = node.original_file_path
            yield Fault(node.name, file, None, "dbt sent no statement of it")


def collect(warehouse: Warehouse, built: Any) -> int:
    """Add what dbt itself refused, such as a broken contract; count what it skipped."""
    known = {fault.node for fault in warehouse.faults}
    results = getattr(built.result, "results", None) or []
    for result in results:
        if result.status in ("error", "fail", "runtime error"):
            node = result.node
            if node.name not in known:
                known.add(node.name)
                sentence = result.message or "failed"
                file = node.original_file_path
                warehouse.faults.append(Fault(node.name, file, None, sentence))
    if not built.success and not known:
        sentence = str(built.exception or "the build failed")
        warehouse.faults.append(Fault("dbt build", "dbt_project.yml", None, sentence))
    return sum(result.status == "skipped" for result in results)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project-dir", type=Path, default=PROJECT, help="of dbt")
    parser.add_argument(
        "--target-path", type=Path, help="keep the compiled SQL here, by variant"
    )
    parser.add_argument(
        "--variant", action="append", choices=list(VARIANTS), help="one of them only"
    )
    options = parser.parse_args(arguments)
    google = GoogleSql()
    statements = faults = skipped = 0
    with contextlib.ExitStack() as stack:
        scratch = options.target_path or Path(
            stack.enter_context(tempfile.TemporaryDirectory())
        )
        for name in options.variant or VARIANTS:
            target = scratch.resolve() / name.replace(" ", "_")
            warehouse = Warehouse(google, options.project_dir.resolve(), target)
            is_default = name == "default"
            skipped += build(
                warehouse,
                VARIANTS[name],
                text=name == TEXT_SOURCES,
                unit_tests=is_default,
            )
            if is_default and not warehouse.faults:
                skipped += build(warehouse, DAILY, selection=DAILY_SELECTION)
            for fault in warehouse.faults:
                print(f"{name}: {fault}")
            statements += len(warehouse.statements)
            faults += len(warehouse.faults)
    rest = f", {skipped} nodes skipped after them" if skipped else ""
    print(f"{statements} statements analysed, {faults} faults{rest}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
