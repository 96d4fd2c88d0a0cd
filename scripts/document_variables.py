"""Write models/docs/variables.md from dbt_project.yml: its variables and comments.

usage: document_variables.py [--check]

A line `# -- Title ---` begins a section; the comment above a variable is its meaning,
and a comment line indented by three blanks or more is shown as code.
"""

import argparse
import re
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "models" / "docs" / "variables.md"
HEAD = """{% docs __variables__ %}

# Variables

Every variable of the project, with its default. Set those that you need under `vars:`
of `dbt_project.yml`, or for one run with `--vars`, as in
`scripts/build.sh --vars '{clv_strata: [country]}'`. An unknown name or value stops the
run with one sentence.

`scripts/document_variables.py` writes this page from `dbt_project.yml`: edit the
comments there.
"""
SECTION = re.compile(r"  # -- (.+?) -*$")
VARIABLE = re.compile(r"  (clv_\w+):")
COMMENT = re.compile(r"  # ?(.*)")


def inline(value: object) -> str:
    """One value as YAML on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")


def paragraph(comment: list[str]) -> str:
    """Join the lines of a comment; examples stay lines of their own."""
    text = ""
    for line in comment:
        if line.startswith("  "):
            text += f"\n\n    {line.strip()}\n\n"
        else:
            text += line if not text or text.endswith("\n") else f" {line}"
    return text.strip()


def page(project: str) -> str:
    """Return the page for the text of a dbt_project.yml."""
    values = yaml.safe_load(project)["vars"]
    parts, comment = [HEAD], []
    for line in project.partition("\nvars:\n")[2].splitlines():
        if found := SECTION.match(line):
            parts.append(f"\n## {found[1]}\n")
            comment = []
        elif found := VARIABLE.match(line):
            meaning = paragraph(comment) or "See the variable above."
            default = inline(values[found[1]])
            parts.append(f"\n### {found[1]}\n\nDefault `{default}`. {meaning}\n")
            comment = []
        elif found := COMMENT.match(line):
            comment.append(found[1])
    return "".join([*parts, "\n{% enddocs %}\n"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if it is old"
    )
    options = parser.parse_args(arguments)
    text = page((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
    elif text != PAGE.read_text(encoding="utf-8"):
        print("variables.md is old: run scripts/document_variables.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
