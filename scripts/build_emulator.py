"""Build on a BigQuery emulator and compare every mart with DuckDB's.

usage: build_emulator.py --input PATH --server PYTHON [--vars JSON] [--value KIND]
                         [--columns MAPPING] [--dates ORDER] [--decimal SEPARATOR]
                         [--fast] [--daily N]

PYTHON is that of the emulator's own environment (emulator_requirements.lock). Starts
the emulator on this machine, loads PATH with google-cloud-bigquery, runs `dbt build`
with its data tests by dbt-bigquery, again, `dbt docs generate`, and the same on DuckDB.
With --daily there is one build, as of N days before the last of the log, a daily run
for each of these days, and the last of them again. Exits with 1 when the last run,
which repeats the one before, changed a mart, the catalog lacks a table or a column, or
marts, state or what the export would sync are not as on DuckDB. The emulator is stopped
whatever happens; its log is emulator.log beside dbt's.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import compare_builds
import compare_warehouses
import duckdb
from input_files import InputFaultError
from load_bigquery import open_client, push
from load_input import (
    PROJECT,
    SCHEMA,
    add_reading_options,
    load,
    reading_options,
    refusal,
)

NAME, LOCATION, MARTS = "clv-emulator", "US", "clv"
COMPARED = (MARTS, "clv_state", "clv_export")
# When and by which run something was written, and what else tells of a run alone.
OF_A_RUN = {"recorded_at", "invocation_id", "built_at"}
RUNS = {"run_results", "export_marketing_cloud__checks"}
TOLERANCE = 1e-9
START_SECONDS, BUILD_SECONDS = 120, 1800
# Lines of dbt that say nothing new.
QUIET = re.compile(
    r" START | PASS | SKIP (test|unit_test)|^[0-9:]* *$|UserWarning"
    r"|warnings\.warn|Detected columns with numeric type"
)
# The command dbt, quicker.
DBT = (sys.executable, "-c", "import quick_dbt; quick_dbt.main()")
DOCS = ("docs", "generate", "--no-compile")
# Google's own implementation runs unit tests, in check_bigquery.py.
NO_UNIT_TESTS = ("--exclude-resource-type=unit_test",)
NO_TESTS = ("--exclude-resource-type=test", *NO_UNIT_TESTS)


class BuildError(Exception):
    """What went wrong, in one sentence."""


def say(text: str) -> None:
    print(text, flush=True)


@contextlib.contextmanager
def step(name: str):
    """Say what is done, and how long it took."""
    say(f"-- {name}")
    start = time.monotonic()
    yield
    say(f"   {time.monotonic() - start:.0f} s")


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def emulator(python: Path, scratch: Path, log: Path):
    """Run the emulator: yields its process and its address, and stops it."""
    home = scratch / "home"
    home.mkdir()
    ports = free_ports(2)
    endpoint = f"http://127.0.0.1:{ports[0]}"
    command = [
        *(python, "-P", PROJECT / "scripts" / "emulator_server.py"),
        *("--host", "127.0.0.1", "--port", ports[0], "--grpc-port", ports[1]),
        *("--project", NAME, "--data-dir", scratch / "data"),
    ]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,  # it ends when this is closed, even by a crash here
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(home)},
            cwd=scratch,
        )
        try:
            wait_for(process, f"{endpoint}/bigquery/v2/projects/{NAME}/datasets", log)
            yield process, endpoint
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdin.close()


def wait_for(process, address: str, log: Path) -> None:
    """Return once the emulator answers: dbt would wait for it without an end."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    last = "\n".join(log.read_text().splitlines()[-15:])
    raise BuildError(f"the emulator did not start; {log} ends:\n{last}")


def run_dbt(
    command, target: str, options: list[str], scratch: Path, server, **variables
):
    """Run a command of dbt and print what matters of it, as it comes."""
    environment = {
        **os.environ,
        **variables,
        "PYTHONPATH": str(PROJECT / "scripts"),
        "DBT_TARGET_PATH": str(scratch / f"target_{target}"),
    }
    process = subprocess.Popen(
        [*DBT, "--no-use-colors", *command, "--target", target, *options],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def watch():
        deadline = time.monotonic() + BUILD_SECONDS
        while process.poll() is None:
            if server.poll() is not None or time.monotonic() > deadline:
                process.kill()
            time.sleep(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        for line in process.stdout:
            if not QUIET.search(line.rstrip("\n")):
                say(line.rstrip("\n"))
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if server.poll() is not None:
        raise BuildError("the emulator stopped in the middle of it")
    if process.returncode:
        raise BuildError(
            f"dbt {' '.join(command)} failed on {target}: the lines above say why"
        )


def undocumented(target_path: Path) -> list[str]:
    """Names of the tables and views, and of the columns, that dbt's catalog lacks."""
    manifest, catalog = (
        json.loads((target_path / f"{name}.json").read_text())
        for name in ("manifest", "catalog")
    )
    missing = []
    for unique_id, node in manifest["nodes"].items():
        built = node["resource_type"] in ("model", "seed", "snapshot")
        if built and node["config"]["materialized"] != "ephemeral":
            found = catalog["nodes"].get(unique_id, {"columns": {}})["columns"]
            columns = [f".{name}" for name in node["columns"] if name not in found]
            missing += [node["name"] + each for each in (columns if found else [""])]
    return missing


def runs_of(options: argparse.Namespace, database: Path) -> list[tuple]:
    """Return the runs to make, the last one as that before it.

    Of each a name, options of `dbt build`, variables.
    """
    given = json.loads(options.vars)
    if not options.daily:
        return [("first", (), given), ("second", (), given)]
    with duckdb.connect(str(database), read_only=True) as connection:
        last = connection.execute(
            f"select max(cast(ts as date)) from {SCHEMA}.transactions"
        ).fetchone()[0]
    days = [last - timedelta(back) for back in range(options.daily, -1, -1)]
    full = {**given, "clv_as_of_date": str(days[0])}
    runs = [("first", (), full)]
    for number, day in enumerate(days[1:], 1):
        daily = {**given, "clv_run": "daily", "clv_as_of_date": str(day)}
        runs.append((f"daily {number}", ("--selector", "daily_scoring"), daily))
    return [*runs, ("again", *runs[-1][1:])]


def run(options: argparse.Namespace, scratch: Path) -> bool:
    """Do everything; return whether all that is compared agrees."""
    log = Path(os.environ.get("DBT_LOG_PATH") or PROJECT / "logs") / "emulator.log"
    database = scratch / "warehouse.duckdb"
    with contextlib.ExitStack() as stack:
        say("\n".join(load(options.input, database, reading_options(options))))
        runs = runs_of(options, database)
        with step("start the emulator"):
            server, endpoint = stack.enter_context(
                emulator(options.server, scratch, log)
            )
        with step("load the input into it"):
            client = open_client(NAME, LOCATION, endpoint)
            push(client, database, SCHEMA, LOCATION)

        def build(target: str, command: tuple, variables: dict, **environment) -> None:
            given = (target, ["--vars", json.dumps(variables)], scratch, server)
            run_dbt(command, *given, **environment)

        kept = {runs[-2][0]: "before", runs[-1][0]: "after"}
        where = {"CLV_BIGQUERY_ENDPOINT": endpoint}
        for name, selection, variables in runs:
            # Later builds ask whether anything changes: tests would say the same.
            tested = name == "first" and not options.fast
            tests = NO_UNIT_TESTS if tested else NO_TESTS
            with step(f"dbt build on the emulator: {name}"):
                command = ("build", *selection, *tests)
                build("emulator", command, variables, **where)
            if name in kept:
                file = scratch / f"{kept[name]}.duckdb"
                compare_warehouses.download(client, MARTS, file)
        last = scratch / "last.duckdb"
        for dataset in COMPARED:
            compare_warehouses.download(client, dataset, last)
        missing = []
        if not options.fast:
            with step("dbt docs generate on the emulator"):
                build("emulator", DOCS, runs[-1][2], **where)
                missing = undocumented(scratch / "target_emulator")
                say("\n".join(f"NOT IN THE CATALOG: {name}" for name in missing))
        for name, selection, variables in runs:
            with step(f"dbt build on DuckDB: {name}"):
                command = ("build", *selection, *NO_TESTS)
                build("duckdb", command, variables, CLV_DUCKDB_PATH=str(database))
    logs = compare_builds.run_logs(scratch / "target_emulator" / "manifest.json")
    say("-- the last run against the one before")
    before, after = scratch / "before.duckdb", scratch / "after.duckdb"
    changes = compare_builds.compare(before, after, MARTS, TOLERANCE, logs)
    say("\n".join(f"CHANGED: {line}" for line in changes) or "no mart changed")
    found = []
    for dataset in COMPARED:
        say(f"-- {dataset} on the emulator against DuckDB's")
        without = logs | RUNS
        compared = compare_warehouses.compare(
            database, last, dataset, TOLERANCE, without, OF_A_RUN
        )
        say("\n".join(map(str, compared)))
        found += compared
    return not (changes or missing or any(each.differences for each in found))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--input", type=Path, required=True, metavar="PATH", help="a file, or a folder"
    )
    parser.add_argument(
        "--server", type=Path, required=True, metavar="PYTHON", help="of the emulator"
    )
    parser.add_argument("--vars", default="{}", metavar="JSON", help="as for dbt")
    add_reading_options(parser)
    parser.add_argument("--fast", action="store_true", help="no tests and no docs")
    parser.add_argument(
        "--daily", type=int, default=0, metavar="N", help="daily runs after the builds"
    )
    options = parser.parse_args(arguments)
    # End as by Ctrl-C, so that the emulator is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="clv_emulator_") as scratch:
            equal = run(options, Path(scratch))
    except (InputFaultError, duckdb.Error) as error:
        print(refusal(error), file=sys.stderr)
        return 2
    except BuildError as error:
        print(f"Emulator: {error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    seconds = time.monotonic() - start
    say(f"Emulator: {'all marts are equal' if equal else 'FAILED'} in {seconds:.0f} s.")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
