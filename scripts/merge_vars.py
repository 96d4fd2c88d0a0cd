"""Bring the variables of a build into one JSON text for dbt's --vars.

usage: merge_vars.py [--vars YAML] [--as-of DATE] [--value KIND] [--run KIND]
                     [--get NAME]

With --get, print one variable instead: as given, else its default in dbt_project.yml.
"""

import argparse
import datetime
import json
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parent.parent
OPTIONS = {
    "--vars": "variables of dbt_project.yml, such as {clv_strata: [country]}",
    "--as-of": "day that every number is as of, such as 2024-12-31",
    "--value": "margin, revenue or none",
    "--run": "full or daily",
    "--get": "name of the variable to print",
}


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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option, meaning in OPTIONS.items():
        parser.add_argument(option, default="", help=meaning)
    options = parser.parse_args(arguments)
    try:
        merged = merge(options.vars, options.as_of, options.value, options.run)
    except ValueError as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    if options.get:
        project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
        variables = {**project["vars"], **merged}
        if options.get not in variables:
            print(f"There is no variable {options.get}.", file=sys.stderr)
            return 2
        print(variables[options.get])
    else:
        print(json.dumps(merged, default=str))
    return 0


if __name__ == "__main__":
    sys.exit(main())
