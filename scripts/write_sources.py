"""Write a file of sources with which another dbt project reads the marts.

usage: write_sources.py [--manifest FILE] [--schema NAME] [--database NAME]
                        [--output FILE]

The marts, with their columns and what they mean, as dbt's manifest has them: after a
build, or after `dbt parse`. Put the file among the models of your project and read
{{ source('clv', 'customer_segments') }}; write it again after an upgrade.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parent.parent
HEAD = """# Marts of clv, the project for customer lifetime value, as sources. Written
# by its scripts/write_sources.py: not to be edited.
"""


def tables(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the marts as tables of a source, by name."""
    found = [
        {
            "name": node["alias"],
            "description": node["description"],
            "columns": [
                {"name": column["name"], "description": column["description"]}
                for column in node["columns"].values()
            ],
        }
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["fqn"][1] == "marts"
    ]
    return sorted(found, key=lambda table: table["name"])


def text_of(manifest: dict[str, Any], schema: str, database: str | None) -> str:
    source: dict[str, Any] = {"name": "clv"}
    if database:
        source["database"] = database
    source |= {"schema": schema, "tables": tables(manifest)}
    written = yaml.safe_dump({"sources": [source]}, sort_keys=False, width=100)
    return f"{HEAD}version: 2\n\n{written}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    target = Path(os.environ.get("DBT_TARGET_PATH") or PROJECT / "target")
    parser.add_argument(
        "--manifest",
        type=Path,
        default=target / "manifest.json",
        help="of dbt; default: that of the last command here",
    )
    parser.add_argument("--schema", default="clv", help="of the marts; default: clv")
    parser.add_argument(
        "--database", help="of the marts; default: that of the reading project"
    )
    parser.add_argument("--output", type=Path, help="file; default: standard output")
    options = parser.parse_args(arguments)
    if not options.manifest.exists():
        print(f"{options.manifest} is not there: run dbt parse first", file=sys.stderr)
        return 1
    manifest = json.loads(options.manifest.read_text(encoding="utf-8"))
    text = text_of(manifest, options.schema, options.database)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
