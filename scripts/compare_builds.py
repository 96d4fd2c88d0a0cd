"""Compare the marts of two DuckDB files, row by row.

usage: compare_builds.py FIRST SECOND [--schema NAME] [--tolerance RATE]
                         [--manifest PATH]

Everything must be equal, except that floating-point numbers may differ by RATE of
their size (default 1e-9), and that models marked `meta: {run_log: true}` in dbt's
manifest (target/manifest.json of the last parse) are left out: every run adds to them.
Prints what differs and exits with 1 when something does.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import duckdb

PROJECT = Path(__file__).resolve().parent.parent
FLOATS = ("FLOAT", "DOUBLE")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def run_logs(manifest: Path) -> set[str]:
    """Names of the models about runs, which differ between two builds."""
    nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"].values()
    return {
        node["alias"]
        for node in nodes
        if node["resource_type"] == "model" and node["config"]["meta"].get("run_log")
    }


def columns_by_table(
    connection, schema: str, without: set[str]
) -> dict[str, dict[str, str]]:
    """Table → column → type, of the other tables and views of a schema."""
    found = connection.execute(
        "select table_name, column_name, data_type from information_schema.columns "
        "where table_schema = ? order by table_name, ordinal_position",
        [schema],
    ).fetchall()
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in found:
        if table not in without:
            tables.setdefault(table, {})[column] = kind
    return tables


def rows(connection, schema: str, table: str):
    database = connection.execute("select current_database()").fetchone()[0]
    name = ".".join(map(quoted, (database, schema, table)))
    return connection.execute(f"select * from {name}").to_arrow_table()


def differing_columns(
    scratch, columns: dict[str, str], tolerance: float
) -> dict[str, int]:
    """Count, by column, the rows in which tables `one` and `two` differ.

    Rows are paired by their order: by the exact columns first, which hold the key.
    """
    exact = [quoted(name) for name, kind in columns.items() if kind not in FLOATS]
    floats = [quoted(name) for name, kind in columns.items() if kind in FLOATS]
    order = ", ".join(exact + floats)
    differs = [f"one.{name} is distinct from two.{name}" for name in exact] + [
        f"one.{name} is distinct from two.{name} and not coalesce("
        f"abs(one.{name} - two.{name}) "
        f"<= {tolerance} * greatest(abs(one.{name}), abs(two.{name})), false)"
        for name in floats
    ]
    counts = ", ".join(f"count(*) filter ({each})" for each in differs)
    ranked = "select *, row_number() over (order by {order}) as row from {table}"
    found = scratch.execute(
        f"with one as ({ranked.format(order=order, table='first_rows')}), "
        f"two as ({ranked.format(order=order, table='second_rows')}) "
        f"select {counts} from one inner join two on one.row = two.row"
    ).fetchone()
    counted = zip(exact + floats, found, strict=True)
    return {name: number for name, number in counted if number}


def compare(
    first: Path, second: Path, schema: str, tolerance: float, without: set[str]
) -> list[str]:
    """Return a line for every difference between the two files."""
    differences = []
    # Each file is opened by itself: a view names its own file as its database.
    with (
        duckdb.connect(str(first), read_only=True) as one,
        duckdb.connect(str(second), read_only=True) as two,
        duckdb.connect() as scratch,
    ):
        left, right = (columns_by_table(each, schema, without) for each in (one, two))
        if not left:
            return [f"{first} has no tables in schema {schema}"]
        for table in sorted({*left, *right}):
            if table not in left or table not in right:
                where = "first" if table in left else "second"
                differences.append(f"{table}: only in the {where} file")
                continue
            if left[table] != right[table]:
                differences.append(f"{table}: the columns or their types differ")
                continue
            scratch.register("first_rows", rows(one, schema, table))
            scratch.register("second_rows", rows(two, schema, table))
            before, after = scratch.execute(
                "select (select count(*) from first_rows), "
                "(select count(*) from second_rows)"
            ).fetchone()
            if before != after:
                differences.append(f"{table}: {before:,} rows against {after:,}")
                continue
            found = differing_columns(scratch, left[table], tolerance)
            for column, number in found.items():
                name = column.strip('"')
                differences.append(f"{table}.{name}: {number:,} of {before:,} rows")
    return differences


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path, help="a DuckDB file")
    parser.add_argument("second", type=Path, help="the other one")
    parser.add_argument("--schema", default="clv", help="that is compared")
    parser.add_argument("--tolerance", type=float, default=1e-9, help="of floats")
    target = PROJECT / os.environ.get("DBT_TARGET_PATH", "target")
    parser.add_argument(
        "--manifest", type=Path, default=target / "manifest.json", help="of dbt parse"
    )
    options = parser.parse_args(arguments)
    for path in (options.first, options.second, options.manifest):
        if not path.is_file():
            print(f"Nothing compared: there is no file {path}.", file=sys.stderr)
            return 2
    differences = compare(
        options.first,
        options.second,
        options.schema,
        options.tolerance,
        run_logs(options.manifest),
    )
    for line in differences:
        print(f"differs: {line}")
    if not differences:
        print(f"The tables of schema {options.schema} are equal.")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
