"""Bytes and dollars that a full and a daily run read on BigQuery, without running.

usage: bigquery_cost.py --full SMALLER LARGER [--daily SMALLER LARGER]
                        [--customers N] [--syncs N] [--top N]

Every statement that dbt would send (see check_bigquery.py) is resolved by Google's
analyzer; query_plans.py says which columns of which tables it reads, and which
partitions a comparison with a literal leaves. How many rows these have, and how many
bytes a row of a column, is counted in the larger of two DuckDB files that such runs of
shops alike have left: `benchmark.py --legs build --folder DIR`, of which a copy is
kept, then `--legs daily` in the same folder.
From the smaller to the larger one the rows of a table grow by some power of the
customers, and by the same power to as many as are asked for. The raw log is taken to be
partitioned by the month of ts, as load_bigquery.py does it (--unpartitioned: not).

A column of a table is billed once per statement, and every table at least 10 MB. Views
cost nothing to make, nor do the probes of contracts, which ask for no row. Writing
statements are billed by what they read. `--syncs` is how often an average customer
was exported, evenly over the past year: two rows of its ledger each.

Prints a table of runs and kinds of statements, then the statements that read most.
"""

import argparse
import functools
import math
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
from check_bigquery import (
    DAILY_SELECTION,
    PROJECT,
    Resolved,
    Warehouse,
    build,
)
from googlesql import GoogleSql
from merge_vars import defaults
from query_plans import ALL, Bound, Plan, Read

LEAST = 10 * 1024**2  # bytes of a table that are billed
PRICE = 6.25 / 1024**4  # dollars a byte, on demand in the US and the EU
# Bytes a value has, but text and lists (cloud.google.com/bigquery/pricing#data).
WIDTHS = {"NUMERIC": 16, "BOOL": 1}
KINDS = {"model": "models", "seed": "models", "test": "tests", "operation": "hooks"}
PROBE = re.compile(r"where false and current_timestamp\(\) = current_timestamp\(\)")
TEMPORARY = re.compile(r"__dbt_tmp\d*$")  # what dbt writes before it merges it
EXPORTED = ("export_ledger",)  # tables with rows per export
# Table → variable, or constant of its model, that bounds its customers, per what.
SAMPLED = {
    "clv_intermediate.int_predictions__pit": (
        "sampled_customers",
        "cutoff_date, horizon_days",
    ),
    "clv_intermediate.int_corrections__pairs": (
        "sampled_customers",
        "cutoff_date, window_date, horizon_days",
    ),
}
STATE = ("clv_state.export_ledger",)  # as macro state_layout partitions it


class Sizes:
    """Rows and widths of relations, at another number of customers."""

    def __init__(self, databases: list[Path], customers: float, syncs: float):
        self.smaller, self.larger = (
            duckdb.connect(str(path), read_only=True) for path in databases
        )
        self.customers, self.syncs = customers, syncs
        counted = [
            one(each, "select count(*) from clv.customers")
            for each in (self.smaller, self.larger)
        ]
        self.apart, self.factor = counted[1] / counted[0], customers / counted[1]
        self.as_of = one(
            self.larger, "select as_of_date from clv_intermediate.int_as_of"
        )
        self.partitions: dict[str, tuple[str, str]] = {}
        self.variables = defaults()

    @functools.cache  # noqa: B019 -- lives as long as the script
    def growth(self, table: str) -> float:
        """Return by how much a table's rows grow from the larger file's."""
        few, many = (
            one(each, f"select count(*) from {table}")
            for each in (self.smaller, self.larger)
        )
        power = math.log(many / few) / math.log(self.apart) if few and many else 0
        return self.factor ** min(max(power, 0), 1)

    @functools.cache  # noqa: B019
    def rows(self, table: str, conditions: frozenset[str]) -> float:
        """Return how many rows of a table, such as clv.customers, meet one of them."""
        where = " or ".join(sorted(conditions)) or "true"
        if table.partition(".")[2] in EXPORTED:
            months = "select current_date - to_days(30 * i) as recorded_at"
            months = f"({months} from range(12) as months (i))"
            share = one(self.larger, f"select avg(({where})::int) from {months}")
            return self.customers * self.syncs * 2 * share
        try:
            found = one(self.larger, f"select count(*) from {table} where {where}")
            most, of = SAMPLED.get(table, (None, ""))
            if most:
                samples = f"select count(distinct ({of})) from {table} where {where}"
                most = self.bound(table, most) * one(self.larger, samples)
            return min(found * self.growth(table), most or math.inf)
        except duckdb.CatalogException:
            return 0.0

    def bound(self, table: str, name: str) -> int:
        """Return a variable, or the constant of that name that a model sets."""
        if name in self.variables:
            return self.variables[name]
        [model] = (PROJECT / "models").rglob(f"{table.rpartition('.')[2]}.sql")
        return int(re.search(rf"set {name} = (\d+)", model.read_text())[1])

    @functools.cache  # noqa: B019
    def width(self, table: str, column: str, kind: str) -> float:
        """Return the bytes of a column's average value; a null has none.

        A column that no row fills is taken to be filled: the log of a shop would.
        """
        if kind == "STRING":
            length, usual = f"2 + strlen({column})", 20  # a key
        elif kind.startswith("ARRAY"):
            length, usual = f"8 * len({column})", 20
        else:
            usual = WIDTHS.get(kind, 8)
            length = f"case when {column} is not null then {usual} end"
        try:
            found = one(self.larger, f"select avg(coalesce({length}, 0)) from {table}")
        except duckdb.Error:
            found = None
        return found or usual

    def condition(self, table: str, bounds: list[Bound]) -> str | None:
        """Return what the partitions that are read have in common; None: nothing."""
        column, granularity = self.partitions.get(table, ("", ""))
        sides = []
        for bound in bounds:
            if bound.column == column:
                days = (f"date_trunc('{granularity}', date '{d}')" for d in bound.days)
                # A partition that is begun is read.
                operator = {">": ">=", "<": "<="}.get(bound.operator, bound.operator)
                sides.append(
                    f"date_trunc('{granularity}', cast({column} as date)) "
                    f"{operator} ({', '.join(days)})"
                )
        return " and ".join(sides) or None

    def bill(self, table: str, reads: list[Read], columns: dict[str, str]) -> float:
        """Return the bytes that a statement's scans of a table are billed."""
        short = TEMPORARY.sub("", table.partition(".")[2])
        total = 0.0
        named = set().union(*(read.columns for read in reads))
        for column in columns if ALL in named else named:
            conditions = {
                self.condition(short, read.bounds)
                for read in reads
                if {column, ALL} & read.columns
            }
            wanted = frozenset() if None in conditions else frozenset(conditions)
            total += self.rows(short, wanted) * self.width(
                short, column, columns.get(column, "INT64")
            )
        return max(total, LEAST) if total else 0.0


def one(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """Return the only value of a query."""
    return connection.execute(sql).fetchone()[0]


class Meter(Warehouse):
    """A BigQuery of names and types that also notes what statements are billed.

    Attributes:
        sizes: of its tables.
        bills: (node, table → bytes) of every statement.
    """

    sizes: Sizes
    bills: list[tuple[str, dict[str, float]]]

    def check(self, sql: str, unique_id: str = "") -> Resolved:
        """Analyse a statement, and note what it is billed for each table."""
        resolved = super().check(sql, unique_id)
        kind = resolved.statement.name
        if kind not in ("CreateViewStmt", "CreateTableFunctionStmt"):
            reads = (
                {} if PROBE.search(sql) else Plan(resolved.statement, self.views).reads
            )
            bill = {
                table: self.sizes.bill(table, scans, self.google.tables.get(table, {}))
                for table, scans in reads.items()
            }
            self.bills.append((unique_id, bill))
        return resolved

    def lay_out(self, nodes: dict[str, Any]) -> None:
        """Note by what the tables are partitioned."""
        for node in nodes.values():
            if found := node.config.get("partition_by"):
                name = f"{node.schema}.{node.alias}"
                self.sizes.partitions[name] = (
                    found["field"],
                    found.get("granularity", "day"),
                )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("full", "daily"):
        parser.add_argument(
            f"--{name}",
            type=Path,
            nargs=2,
            required=name == "full",
            metavar=("SMALLER", "LARGER"),
            help=f"DuckDB files that a {name} run has left",
        )
    parser.add_argument(
        "--unpartitioned", action="store_true", help="the log has no partitions"
    )
    parser.add_argument("--customers", type=float, default=1e7, help="how many")
    parser.add_argument("--syncs", type=float, default=3, help="of each, so far")
    parser.add_argument("--top", type=int, default=12, help="statements shown of each")
    options = parser.parse_args(arguments)
    runs = {"full": options.full} | ({"daily": options.daily} if options.daily else {})
    google, shown, faults = GoogleSql(), [], []
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter(google, PROJECT, Path(folder))
        for run, databases in runs.items():
            sizes = Sizes(databases, options.customers, options.syncs)
            sizes.partitions |= dict.fromkeys(STATE, ("recorded_at", "month"))
            if not options.unpartitioned:
                sizes.partitions["clv_raw.transactions"] = ("ts", "month")
            if run == "full":
                lines = sizes.rows("clv_raw.transactions", frozenset())
                print(f"{options.customers:,.0f} customers, {lines:,.0f} lines\n")
                print("| run | models | tests | hooks | page | together | a run |")
                print("|---|---|---|---|---|---|---|")
            meter.sizes, meter.bills = sizes, []
            variables = {"clv_run": run, "clv_as_of_date": str(sizes.as_of)}
            full = ("--selector", "monthly_refit")
            selection = DAILY_SELECTION if run == "daily" else full
            build(meter, variables, False, selection, unit_tests=False, again=False)
            faults += meter.faults
            billed: Counter[str] = Counter()
            for unique_id, bill in meter.bills:
                kind = KINDS.get(unique_id.partition(".")[0], "page")
                billed[kind] += sum(bill.values())
                largest = sorted(bill.items(), key=lambda item: -item[1])[:3]
                shown.append((sum(bill.values()), run, unique_id, largest))
            total = sum(billed.values())
            cells = [billed[kind] for kind in ("models", "tests", "hooks", "page")]
            written = " | ".join(f"{cell / 1e9:,.0f} GB" for cell in [*cells, total])
            print(f"| {run} | {written} | ${total * PRICE:.2f} |", flush=True)
    for run in runs:
        print(f"\nmost in a {run} run:")
        of_run = sorted((each for each in shown if each[1] == run), reverse=True)
        for total, _, unique_id, largest in of_run[: options.top]:
            tables = ", ".join(
                f"{table.rpartition('.')[2]} {size / 1e9:,.1f}"
                for table, size in largest
            )
            print(f"  {total / 1e9:6,.1f} GB  {unique_id} ({tables})")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
