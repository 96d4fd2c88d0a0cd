"""Check the rules of the project that no linter covers.

usage: check_project.py [--manifest PATH] [--database PATH]

Reads dbt's manifest (target/manifest.json of the last parse) and the files of the
project; with --database also the built tables. Prints a line per violation, as
`rule: file: sentence`, and exits with 1 when there is one.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import grant_access
import yaml
from export_segments import RELATIONS, STATE

PROJECT = Path(__file__).resolve().parent.parent

TOP_LEVEL = {
    "dbt_project.yml",
    "models",
    "macros",
    "seeds",
    "tests",
    "python_models",
    "scripts",
    "README.md",
    "pyproject.toml",
    "requirements.lock",
    "profiles.yml",
    "selectors.yml",
    ".sqlfluff",
    ".sqlfluffignore",
    ".pre-commit-config.yaml",
    ".editorconfig",
    ".gitignore",
    ".github",
    ".ci",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
}

MACHINE_PATH = re.compile(r"(?<!\w)(?:\.\.)?/(?:home|root|Users|work|shared)/")
RELATION = re.compile(r"\b(?:from|join)\s+[\"`]?\w+[\"`]?\s*\.\s*[\"`]?\w+", re.I)
NOT_A_RELATION = re.compile(r"(\bdistinct|\bextract\s*\(\s*\w+)\s*$", re.I)
NOISE = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|--[^\n]*|/\*.*?\*/", re.DOTALL)
MACRO = re.compile(r"\{%-?\s*(?:macro|test)\s+(\w+)\s*\(")
IMPLEMENTATION = re.compile(r"(?:default|duckdb|bigquery|clv_bigquery)__")
TARGET_TYPE = re.compile(r"\btarget\s*\.\s*type\b")
VARIABLE = re.compile(r"\bvar\(\s*['\"](\w+)['\"]")


class Violation(NamedTuple):
    """One line of the report."""

    rule: str
    file: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.file}: {self.sentence}"


def nodes(manifest: dict, *kinds: str) -> Iterator[dict]:
    """Yield the project's own nodes of these resource types."""
    project = manifest["metadata"]["project_name"]
    for node in manifest["nodes"].values():
        if node["resource_type"] in kinds and node["package_name"] == project:
            yield node


def check_relations(manifest: dict) -> Iterator[Violation]:
    for node in nodes(manifest, "model", "test", "snapshot"):
        if node.get("language") != "sql" or node.get("test_metadata"):
            continue
        # What Jinja writes is no name, so `from {{ ref() }}` passes.
        code = NOISE.sub(" () ", node["raw_code"])
        for found in RELATION.finditer(code):
            if not NOT_A_RELATION.search(code[: found.start()]):
                sentence = f"'{found.group()}' is a fixed relation: use ref or source"
                yield Violation("relation", node["original_file_path"], sentence)


def check_adapters(files: dict[str, str]) -> Iterator[Violation]:
    for file, text in files.items():
        if not file.startswith(("models/", "tests/")) or file.endswith(".py"):
            continue
        for number, each in enumerate(text.splitlines(), 1):
            # A yml file knows no macros: the type of a column may differ there.
            if TARGET_TYPE.search(each) and "data_type:" not in each:
                sentence = f"line {number}: target.type belongs in macros/adapters"
                yield Violation("adapter", file, sentence)


def check_macros(files: dict[str, str]) -> Iterator[Violation]:
    for file, text in files.items():
        if not file.startswith(("macros/", "tests/generic/")):
            continue
        for found in MACRO.finditer(text):
            described = text[: found.start()].rstrip().endswith("#}")
            if not described and not IMPLEMENTATION.match(found.group(1)):
                sentence = f"no comment {{# ... #}} stands above {found.group(1)}"
                yield Violation("macro", file, sentence)


def check_variables(files: dict[str, str]) -> Iterator[Violation]:
    declared = set(yaml.safe_load(files["dbt_project.yml"]).get("vars", {}))
    folders = ("models/", "macros/", "python_models/", "seeds/", "tests/")
    texts = {
        file: text
        for file, text in files.items()
        if file.startswith(folders) and not file.startswith("tests/python/")
    }
    for file, text in texts.items():
        for name in sorted(set(VARIABLE.findall(text)) - declared):
            sentence = f"the variable {name} is not declared in dbt_project.yml"
            yield Violation("variable", file, sentence)
    everything = "\n".join(texts.values())
    for name in sorted(declared):
        if not re.search(rf"['\"]{name}['\"]", everything):
            yield Violation("variable", "dbt_project.yml", f"nothing reads {name}")


def check_files(files: dict[str, str]) -> Iterator[Violation]:
    for entry in sorted({file.split("/")[0] for file in files} - TOP_LEVEL):
        yield Violation("layout", entry, "does not belong at the top of the project")
    for file, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                sentence = f"line {number} names a path of one machine"
                yield Violation("path", file, sentence)
    if "://" in files.get("requirements.lock", ""):
        yield Violation("path", "requirements.lock", "names the address of a registry")


def check_built(
    manifest: dict, built: dict[tuple[str, str], list[str]]
) -> Iterator[Violation]:
    """Compare the documented columns with those of the built relations."""
    state = [
        source | {"alias": source["identifier"]}
        for source in manifest["sources"].values()
        if source["source_name"] == "clv_state"
    ]
    for node in [*nodes(manifest, "model", "seed", "snapshot"), *state]:
        file, name = node["original_file_path"], node["name"]
        if node["config"].get("materialized") == "ephemeral":
            continue
        columns = built.get((node["schema"].lower(), node["alias"].lower()))
        if columns is None:
            yield Violation("columns", file, f"{name} is not in the built database")
            continue
        documented = {column.lower() for column in node["columns"]}
        if missing := [column for column in columns if column not in documented]:
            sentence = f"{name} has undocumented columns: {', '.join(missing)}"
            yield Violation("columns", file, sentence)
        if extra := sorted(documented - set(columns)):
            sentence = f"{name} documents columns it has not: {', '.join(extra)}"
            yield Violation("columns", file, sentence)


def check_access(manifest: dict) -> Iterator[Violation]:
    """Compare scripts/access.yml with what each principal touches on BigQuery."""
    exported = [f"export_marketing_cloud__{name}" for name in RELATIONS]
    wanted = grant_access.needed(manifest, exported, [*STATE, "export_requests"])
    for sentence in grant_access.differences(grant_access.listed(), wanted):
        yield Violation("access", "scripts/access.yml", sentence)


def check_texts(files: dict[str, str]) -> list[Violation]:
    rules = (check_adapters, check_macros, check_variables, check_files)
    return [violation for rule in rules for violation in rule(files)]


def project_files(root: Path) -> dict[str, str]:
    """Read the text of every file of the project, by path: what git keeps or would."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        names: Iterable[str] = listed.stdout.splitlines()
    else:  # no repository, or no git: the folders that belong to the project
        names = (
            path.relative_to(root).as_posix()
            for top in TOP_LEVEL
            for path in [root / top, *(root / top).rglob("*")]
            if "__pycache__" not in path.parts
        )
    texts = {}
    for name in sorted(names):
        if (path := root / name).is_file():
            texts[name] = path.read_text(encoding="utf-8", errors="replace")
    return texts


def built_columns(database: Path) -> dict[tuple[str, str], list[str]]:
    """List the columns of every relation of a DuckDB file, by schema and name."""
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute(
            "select lower(table_schema), lower(table_name), lower(column_name) "
            "from information_schema.columns order by ordinal_position"
        ).fetchall()
    built: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in rows:
        built.setdefault((schema, table), []).append(column)
    return built


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    target = PROJECT / os.environ.get("DBT_TARGET_PATH", "target")
    parser.add_argument(
        "--manifest", type=Path, default=target / "manifest.json", help="of dbt parse"
    )
    parser.add_argument("--database", type=Path, help="a DuckDB file that was built")
    options = parser.parse_args(arguments)
    for path in (options.manifest, options.database):
        if path and not path.is_file():
            print(f"Nothing checked: there is no file {path}.", file=sys.stderr)
            return 2
    manifest = json.loads(options.manifest.read_text(encoding="utf-8"))
    violations = check_texts(project_files(PROJECT))
    violations += [*check_relations(manifest), *check_access(manifest)]
    if options.database:
        violations += check_built(manifest, built_columns(options.database))
    for violation in violations:
        print(violation)
    print(f"{len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
