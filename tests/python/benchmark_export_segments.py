"""How fast, and in how much memory, scripts/export_segments.py syncs changed rows.

usage: benchmark_export_segments.py --built FILE [--rows 1000000] [--target sfmc]

FILE is a built DuckDB file, of which the shapes of the export are taken, and filled
with new customers. They are synced to the stand-in on this machine, which runs in a
process of its own, or to files. Prints rows per second, seconds of a processor and the
largest resident memory, all of the script.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "export_segments.py"


def serve(pipe):
    """Run the stand-in until told to stop; then say how many rows arrived."""
    from salesforce_stand_in import StandIn
    from test_scripts_export_segments import empty

    with StandIn() as one:
        empty(one)
        pipe.send(one.environment)
        pipe.recv()
        tables = (*one.extensions.values(), *one.objects.values())
        pipe.send(sum(len(table.rows) for table in tables))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--built", type=Path, required=True, metavar="FILE")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--target", default="sfmc", choices=["sfmc", "crm", "files"])
    options = parser.parse_args()
    pipe, other = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(other,))
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        import test_scripts_export_segments as tests

        database = Path(folder) / "warehouse.duckdb"
        tests.make_warehouse(database, tests.opened(options.built))
        tests.fill(database, options.rows)
        environment = pipe.recv() | {
            "CLV_DUCKDB_PATH": str(database),
            "CLV_EXPORT_SECRET": tests.SECRET,
            "CLV_EXPORT_FOLDER": str(Path(folder) / "export"),
        }
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--target", options.target, "--json"],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        peak = tests.peak_memory(process)
        printed = process.stdout.read()
        seconds = time.monotonic() - started
        # The stand-in has not been waited for, so that these are the script's.
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = used.ru_utime + used.ru_stime
    pipe.send("stop")
    arrived = pipe.recv()
    server.join()
    report = json.loads(printed)
    assert process.returncode == 0, report
    assert report["synced_rows"] == options.rows, report
    assert options.target == "files" or arrived == options.rows, arrived
    print(
        f"{options.rows:,} rows in {seconds:.0f} s: {options.rows / seconds:,.0f} per "
        f"second, {busy:.0f} s of a processor, {report['requests']} requests, "
        f"{report['bytes']:,} bytes, {peak:.0f} MiB"
    )


if __name__ == "__main__":
    main()
