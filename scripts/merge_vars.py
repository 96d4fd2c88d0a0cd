"""Merge the variables of a build into one JSON text for dbt's --vars.

usage: merge_vars.py [--vars YAML] [--as-of DATE] [--value KIND] [--run KIND]
                     [--inputs SCHEMA] [--demo NAME] [--get NAME | --table-of TARGET]

Those of a demo (scripts/demo_NAME.yml, if there are any) give way to those of --vars.
With --get, print one variable instead: as given, else its default in dbt_project.yml.
With --table-of, print which table a target reads its transactions from.
A variable that dbt_project.yml does not know, or of another shape than its default
there, is refused before dbt reads the project with it; the rest is checked by dbt.
"""

import argparse
import datetime
import difflib
import json
import os
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parent.parent
OPTIONS = {
    "--vars": "variables of dbt_project.yml, such as {clv_strata: [country]}",
    "--as-of": "day that every number is as of, such as 2024-12-31",
    "--value": "margin, revenue or none",
    "--run": "full or daily",
    "--demo": "demo whose variables are the defaults",
    "--inputs": "schema of the inputs where clv_source_schema names none",
    "--get": "name of the variable to print",
    "--table-of": "output of profiles.yml whose table of transactions is printed",
}

SHAPES = {bool: "true or false", list: "a list", dict: "a mapping"}
# Variables that may be a mapping although their default is none.
BY_KEY = ("clv_purchase_model", "clv_holdout_share")


def defaults() -> dict:
    """Read the variables of the project, with the values that run."""
    return yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]


def check(given: dict) -> None:
    """Raise on the first variable that is unknown or cannot be what it must be."""
    known = defaults()
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(str(name).lower(), known, 1, 0)[0]
            raise ValueError(f"there is no variable {name}: {near} is near")
        shape = type(known[name])
        if shape in SHAPES and not isinstance(value, shape):
            example = json.dumps(known[name], default=str)
            raise ValueError(f"{name} must be {SHAPES[shape]}, such as {example}")
        if shape in (int, float, str) and isinstance(value, list | dict):
            if isinstance(value, dict) and name in BY_KEY:
                continue
            raise ValueError(f"{name} must be one value, such as {known[name]}")


def variables_of(demo: str) -> dict:
    """The variables of a demo; those of retail are the project's."""
    path = PROJECT / "scripts" / f"demo_{demo}.yml"
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def merge(
    text: str, as_of: str, value: str, run: str, inputs: str = "", demo: str = ""
) -> dict:
    """Merge --vars with the variables that have an option of their own."""
    try:
        given = yaml.safe_load(text or "{}")
    except yaml.YAMLError:
        given = None
    if not isinstance(given, dict):
        raise ValueError(
            f"--vars must be a YAML mapping such as {{a: 1}}, not {text!r}"
        )
    check(given)
    given = variables_of(demo) | given
    if as_of:
        try:
            given["clv_as_of_date"] = datetime.date.fromisoformat(as_of).isoformat()
        except ValueError:
            raise ValueError(
                f"--as-of must be a date such as 2024-12-31, not {as_of!r}"
            ) from None
    if value:
        given["clv_value"] = value
    if given.get("clv_value", "none") not in ("margin", "revenue", "none"):
        raise ValueError(
            f"clv_value must be margin, revenue or none, not {given['clv_value']!r}"
        )
    if run:
        given["clv_run"] = run
    if inputs:
        named = {**defaults(), **given}["clv_source_schema"]
        given["clv_source_schema"] = named or inputs
    return given


def table_of(target: str, variables: dict) -> str:
    """The table of the transactions, as models/staging/_staging__sources.yml says."""
    schema, database = "clv_raw", variables["clv_source_database"]
    if target != "duckdb":
        schema = f"{os.environ.get('CLV_BIGQUERY_DATASET') or 'clv'}_raw"
        database = database or os.environ.get("CLV_BIGQUERY_PROJECT")
    schema = variables["clv_source_schema"] or schema
    named = variables["clv_input_tables"].get("transactions")
    return ".".join(filter(None, (database, schema, named or "transactions")))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option, meaning in OPTIONS.items():
        parser.add_argument(option, default="", help=meaning)
    options = parser.parse_args(arguments)
    try:
        merged = merge(
            *(options.vars, options.as_of, options.value, options.run, options.inputs),
            options.demo,
        )
    except ValueError as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    variables = {**defaults(), **merged}
    if options.get:
        if options.get not in variables:
            print(f"There is no variable {options.get}.", file=sys.stderr)
            return 2
        print(variables[options.get])
    elif options.table_of:
        print(table_of(options.table_of, variables))
    else:
        print(json.dumps(merged, default=str))
    return 0


if __name__ == "__main__":
    sys.exit(main())
