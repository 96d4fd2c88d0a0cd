"""Compare the marts of a DuckDB file with those of BigQuery or an emulator, row by row.

Used by build_emulator.py. Names, order and kinds of the columns, the number of rows and
every value must be equal; floating-point numbers may differ by a given share of their
size.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
from compare_builds import columns_by_table, quoted
from google.cloud import bigquery

# What a type holds, and the DuckDB type in which both sides are compared.
KINDS = {
    "whole number": (r"INT64|INTEGER|BIGINT|HUGEINT|SMALLINT|TINYINT", "hugeint"),
    "float": (r"FLOAT64|FLOAT|DOUBLE", "double"),
    "decimal": (r"NUMERIC|DECIMAL.*", "decimal(38, 9)"),
    "text": (r"STRING|VARCHAR", "varchar"),
    "flag": (r"BOOL|BOOLEAN", "boolean"),
    "date": (r"DATE", "date"),
    "instant": (r"TIMESTAMP", "timestamp"),
}


@dataclass
class Comparison:
    """The result for one table."""

    table: str
    rows: int = 0
    columns: int = 0
    largest: float = 0.0
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.differences:
            return f"{self.table:<40}DIFFERS: {'; '.join(self.differences)}"
        return (
            f"{self.table:<40}{self.rows:>9,} rows, {self.columns:>2} columns equal; "
            f"floats differ by {self.largest:.1e} at most"
        )


def kind_of(data_type: str) -> str:
    """Name what a type of either warehouse holds, or give the type itself."""
    found = (
        kind for kind, (types, _) in KINDS.items() if re.fullmatch(types, data_type)
    )
    return next(found, data_type)


def download(client: bigquery.Client, dataset: str, database: Path) -> None:
    """Copy every table and view of a dataset into a schema of a DuckDB file."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"create or replace schema {quoted(dataset)}")
        # The emulator lists functions as tables.
        functions = {routine.routine_id for routine in client.list_routines(dataset)}
        for item in client.list_tables(dataset):
            if item.table_type not in ("TABLE", "VIEW") or item.table_id in functions:
                continue
            result = client.query_and_wait(f"select * from {dataset}.{item.table_id}")
            arrow = result.to_arrow(create_bqstorage_client=False)
            selected = ", ".join(
                f"cast({quoted(column.name)} as {arrow_type(column)}) "
                f"as {quoted(column.name)}"
                for column in result.schema
            )
            connection.register("downloaded", arrow)
            connection.execute(
                f"create table {quoted(dataset)}.{quoted(item.table_id)} as "
                f"select {selected} from downloaded"
            )
            connection.unregister("downloaded")


def arrow_type(column: bigquery.SchemaField) -> str:
    """The DuckDB type of a BigQuery column; that of nested ones is left to be told."""
    kind = kind_of(column.field_type)
    return KINDS[kind][1] if kind in KINDS else column.field_type


def compare(
    ours: Path,
    theirs: Path,
    schema: str,
    tolerance: float,
    without: set[str],
    without_columns: frozenset[str] | set[str] = frozenset(),
) -> list[Comparison]:
    """Compare a schema of two DuckDB files, the second made by `download`.

    Args:
        ours: the file that a build on DuckDB has left.
        theirs: the other one.
        schema: what is compared.
        tolerance: by how much floats may differ, as a share of their size.
        without: tables and views that are not compared.
        without_columns: nor are these columns, in any table.
    """
    # Each file is opened by itself: a view names its own file as its database.
    with (
        duckdb.connect(str(ours), read_only=True) as one,
        duckdb.connect(str(theirs), read_only=True) as two,
        duckdb.connect() as scratch,
    ):
        left, right = (columns_by_table(each, schema, without) for each in (one, two))
        found = []
        for table in sorted({*left, *right}):
            result = Comparison(table)
            found.append(result)
            if table not in left or table not in right:
                where = "DuckDB" if table in left else "the emulator"
                result.differences.append(f"it is only on {where}")
                continue
            kinds = [
                [
                    (name, kind_of(kind))
                    for name, kind in side[table].items()
                    if name not in without_columns
                ]
                for side in (left, right)
            ]
            if kinds[0] != kinds[1]:
                pairs = sorted({*kinds[0]} ^ {*kinds[1]}) or "their order"
                result.differences.append(f"columns: {pairs}")
                continue
            unknown = [name for name, kind in kinds[0] if kind not in KINDS]
            if unknown:
                result.differences.append(f"no rule to compare {', '.join(unknown)}")
                continue
            sides = [
                fetch(connection, schema, table, kinds[0]) for connection in (one, two)
            ]
            compare_rows(scratch, sides, kinds[0], tolerance, result)
    return found


def fetch(connection, schema: str, table: str, kinds: list) -> pa.Table:
    """Rows of a table, every column cast to the type in which it is compared."""
    database = connection.execute("select current_database()").fetchone()[0]
    selected = ", ".join(
        f"cast({quoted(name)} as {KINDS[kind][1]}) as {quoted(name)}"
        for name, kind in kinds
    )
    name = ".".join(map(quoted, (database, schema, table)))
    return connection.execute(f"select {selected} from {name}").to_arrow_table()


def compare_rows(scratch, sides, kinds, tolerance: float, result: Comparison) -> None:
    """Compare rows paired by the order of their exact columns, which hold the key."""
    counts = [len(side) for side in sides]
    result.rows, result.columns = counts[0], len(kinds)
    if counts[0] != counts[1]:
        result.differences.append(f"{counts[0]:,} rows against {counts[1]:,}")
        return
    scratch.register("left_rows", sides[0])
    scratch.register("right_rows", sides[1])
    exact = [quoted(name) for name, kind in kinds if kind != "float"]
    floats = [quoted(name) for name, kind in kinds if kind == "float"]
    order = ", ".join(exact + floats)
    measures = [f"count(*) filter (one.{c} is distinct from two.{c})" for c in exact]
    for c in floats:
        size = f"greatest(abs(one.{c}), abs(two.{c}))"
        gap = f"case when one.{c} = two.{c} then 0 else abs(one.{c} - two.{c}) / {size}"
        measures.append(
            f"count(*) filter ((one.{c} is null) != (two.{c} is null) "
            f"or not coalesce({gap} end <= {tolerance}, one.{c} is null))"
        )
        measures.append(f"coalesce(max({gap} end), 0)")
    ranked = f"select *, row_number() over (order by {order}) as place from"
    found = iter(
        scratch.execute(
            f"with one as ({ranked} left_rows), two as ({ranked} right_rows) "
            f"select {', '.join(measures)} "
            "from one inner join two on one.place = two.place"
        ).fetchone()
    )
    for column in exact + floats:
        wrong, gap = next(found), next(found) if column in floats else 0
        result.largest = max(result.largest, gap)
        if wrong:
            by = f" by up to {gap:.1e}" if column in floats else ""
            result.differences.append(
                f"{wrong:,} of {counts[0]:,} rows in {column.strip(chr(34))}{by}"
            )
    scratch.unregister("left_rows")
    scratch.unregister("right_rows")
