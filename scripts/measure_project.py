"""Measure the size of the project and how far its models are from its inputs.

usage: measure_project.py [--manifest PATH]

Reads dbt's manifest (target/manifest.json of the last parse) and the files of the
project; prints a line per figure: models; the longest chain of models up to the
lifetime value of customers and up to the export; edges from a mart or an export to a
folder before it; folders in a cycle; lines of SQL, yml and Python models; variables.
"""

import argparse
import json
import os
import sys
from functools import cache
from pathlib import Path
from statistics import median

import yaml

PROJECT = Path(__file__).resolve().parent.parent
ENDS = ("customer_lifetime_value", "export_marketing_cloud__delta")
LAST = ("marts", "export")


def room_of(model: dict) -> str:
    """Return the folder of a model; Python models share the folder of SQL."""
    layer, *folders = Path(model["original_file_path"]).parent.parts
    return "/".join(["intermediate", *folders] if layer == "python_models" else folders)


def measure(manifest: dict) -> dict[str, object]:
    """Return what the manifest says of the models and how they read each other."""
    models = {
        node["unique_id"]: node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
    }
    parents = {
        key: [each for each in node["depends_on"]["nodes"] if each in models]
        for key, node in models.items()
    }
    rooms = {key: room_of(node) for key, node in models.items()}

    @cache
    def depth(key: str) -> int:
        return 1 + max(map(depth, parents[key]), default=0)

    def layer(key: str) -> str:
        return rooms[key].split("/")[0]

    edges = [(parent, key) for key in models for parent in parents[key]]
    upward = [e for e in edges if layer(e[0]) in LAST and layer(e[1]) not in LAST]
    reads = {room: set() for room in rooms.values()}
    for parent, key in edges:
        reads[rooms[key]].add(rooms[parent])
    reads = {room: read - {room} for room, read in reads.items()}
    for middle in reads:
        for read in reads.values():
            if middle in read:
                read |= reads[middle]
    names = {node["name"]: key for key, node in models.items()}
    sizes = sorted(
        len(node["raw_code"].splitlines())
        for node in models.values()
        if node["language"] == "sql"
    )
    return {
        "models": len(models),
        **{f"chain to {name}": depth(names[name]) for name in ENDS if name in names},
        "edges from a mart or an export to what stands before it": len(upward),
        "rooms in a circle": f"{sum(r in reads[r] for r in reads)} of {len(reads)}",
        "lines of SQL models": f"{sum(sizes)}, median {median(sizes):g}, "
        f"largest {sizes[-1]}, {sum(size > 200 for size in sizes)} above 200",
    }


def lines(pattern: str) -> int:
    """Return the lines of the files that a pattern finds."""
    return sum(len(p.read_text("utf-8").splitlines()) for p in PROJECT.glob(pattern))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    target = PROJECT / os.environ.get("DBT_TARGET_PATH", "target")
    parser.add_argument(
        "--manifest", type=Path, default=target / "manifest.json", help="of dbt parse"
    )
    options = parser.parse_args(arguments)
    if not options.manifest.is_file():
        print(f"There is no file {options.manifest}: run dbt parse.", file=sys.stderr)
        return 2
    found = measure(json.loads(options.manifest.read_text(encoding="utf-8")))
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    found |= {
        "lines of Python models": lines("python_models/**/*.py"),
        "lines of yml of models": lines("models/**/*.yml")
        + lines("python_models/**/*.yml"),
        "variables": len(project["vars"]),
    }
    for name, value in found.items():
        print(f"{name:58}{value:,}" if isinstance(value, int) else f"{name:58}{value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
