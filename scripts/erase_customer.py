r"""Erase one customer from all tables of the project, or show all rows of them.

Any one id of the customer is read from standard input, so that it is in no list of
processes and no history of a shell. dbt gets its SHA-256:

    echo u1234 | scripts/erase_customer.py --ordered-by "privacy desk"
    echo u1234 | scripts/erase_customer.py --show > u1234.jsonl

Erasing deletes the rows of every table (macro erase_customer), and has each destination
delete what it was sent (export_segments.py --erase). A DuckDB file is written anew, for
a file keeps the bytes of deleted rows. One row of clv_state.erasures stays. Erase the
customer at the source first: what is delivered again is loaded again. Files that were
loaded, backups and copies of the warehouse are not touched.

Exit codes: 0 erased, here and at every destination, or shown; 1 dbt refused, as when no
table holds the customer; 4 erased here, but a destination has not deleted its row:
repeat with --continue.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

PROJECT = Path(__file__).resolve().parent.parent
TARGETS = ("crm", "sfmc", "files", "google_ads")


def dbt(operation: str, target: str, variables: str, arguments: dict) -> str:
    """Run an operation of dbt without a log file; return the lines it said.

    Raises:
        SystemExit: dbt refused; its sentence is printed.
    """
    command = [str(Path(sys.executable).with_name("dbt")), "--quiet", "--no-use-colors"]
    command += ["--log-level-file", "none"]
    command += ["run-operation", operation, "--target", target, "--vars", variables]
    done = subprocess.run(
        [*command, "--args", json.dumps(arguments)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines()]
        said = [line for line in lines if line.startswith("clv: ")]
        if "Could not set lock" in done.stdout:
            said = ["another process uses the DuckDB file"]
        print("\n".join(said or ["dbt failed."]), file=sys.stderr)
        raise SystemExit(1)
    return done.stdout


def rewrite(path: Path) -> None:
    """Rewrite a DuckDB file without the bytes of deleted rows."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder) / path.name
        with duckdb.connect() as connection:
            for name, file in (("held", path), ("fresh", fresh)):
                quoted = str(file).replace("'", "''")
                connection.execute(f"attach '{quoted}' as {name}")
            connection.execute("copy from database held to fresh")
        os.replace(fresh, path)


def erase_at(destination: str, target: str) -> bool:
    """Have a destination delete the pending keys; return whether none is pending."""
    script = Path(__file__).parent / "export_segments.py"
    command = [sys.executable, str(script), "--target", destination]
    done = subprocess.run([*command, "--warehouse", target, "--erase"], check=False)
    return done.returncode == 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "--ordered-by", help="erase; recorded as the person responsible"
    )
    action.add_argument(
        "--show", action="store_true", help="print all rows of the customer"
    )
    action.add_argument(
        "--continue",
        action="store_true",
        help="continue at the destinations, without an id",
    )
    parser.add_argument(
        "--target",
        default=os.environ.get("CLV_TARGET", "duckdb"),
        help="output of profiles.yml; default: CLV_TARGET, else duckdb",
    )
    parser.add_argument("--vars", default="{}", help="the variables of your builds")
    parser.add_argument(
        "--keep-inputs", action="store_true", help="do not delete from clv_raw"
    )
    options = parser.parse_args(arguments)
    os.environ.setdefault("DBT_PROFILES_DIR", str(PROJECT))
    database = os.environ.get("CLV_DUCKDB_PATH") or str(PROJECT / "warehouse.duckdb")
    os.environ["CLV_DUCKDB_PATH"] = database = str(Path(database).absolute())
    if not vars(options)["continue"]:
        name = sys.stdin.readline().strip()
        given = {"sha256": hashlib.sha256(name.encode()).hexdigest()}
        if options.show:
            print(dbt("show_customer", options.target, options.vars, given), end="")
            return 0
        given |= {"ordered_by": options.ordered_by, "inputs": not options.keep_inputs}
        said = dbt("erase_customer", options.target, options.vars, given)
        print(said.strip())
    waiting = [each for each in TARGETS if not erase_at(each, options.target)]
    if options.target == "duckdb":
        rewrite(Path(database))
    if waiting:
        print(
            f"{' and '.join(waiting)}: the rows there are not deleted yet; "
            "set the login and repeat with --continue",
            file=sys.stderr,
        )
    return 4 if waiting else 0


if __name__ == "__main__":
    sys.exit(main())
