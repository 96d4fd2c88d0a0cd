"""Bring the variables of a build into one JSON text for dbt's --vars.

usage: merge_vars.py [--vars YAML] [--as-of DATE] [--value KIND] [--run KIND]
                     [--get NAME | --table-of TARGET]

With --get, print one variable instead: as given, else its default in dbt_project.yml.
With --table-of, print which table a target reads its transactions from.
"""

import argparse
import datetime
import json
import os
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parent.parent


def merge(text: str, as_of: str, value: str, run: str) -> dict:
    """Merge --vars with the variables that have an option of their own."""
    try:
        given = yaml.safe_load(text or "{}")
    except yaml.YAMLError:
        given = None
    if not isinstance(given, dict):
        raise ValueError(
            f"--vars must be a YAML mapping such as {{a: 1}}, not {text!r}"
        )
    if as_of:
        try:
            given["clv_as_of_date"] = datetime.date.fromisoformat(as_of).isoformat()
        except ValueError:
            raise ValueError(
                f"--as-of must be a date such as 2024-12-31, not {as_of!r}"
            ) from None
    if value:
        if value not in ("margin", "revenue", "none"):
            raise ValueError(f"--value must be margin, revenue or none, not {value!r}")
        given["clv_value"] = value
    if run:
        given["clv_run"] = run
    return given


def table_of(target: str, variables: dict) -> str:
    """The table of the transactions, as models/staging/_staging__sources.yml says."""
    schema, database = "clv_raw", variables["clv_source_database"]
    if target != "duckdb":
        schema = f"{os.environ.get('CLV_BIGQUERY_DATASET') or 'clv'}_raw"
        database = database or os.environ.get("CLV_BIGQUERY_PROJECT")
    schema = variables["clv_source_schema"] or schema
    tables = variables["clv_input_tables"]
    named = tables.get("transactions") if isinstance(tables, dict) else None
    return ".".join(filter(None, (database, schema, named or "transactions")))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option in ("--vars", "--as-of", "--value", "--run", "--get", "--table-of"):
        parser.add_argument(option, default="")
    options = parser.parse_args(arguments)
    try:
        merged = merge(options.vars, options.as_of, options.value, options.run)
    except ValueError as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    variables = {**project["vars"], **merged}
    if options.get:
        print(variables[options.get])
    elif options.table_of:
        print(table_of(options.table_of, variables))
    else:
        print(json.dumps(merged, default=str))
    return 0


if __name__ == "__main__":
    sys.exit(main())
