"""How fast, and in how much memory, scripts/export_segments.py ships changed rows.

usage: benchmark_export_segments.py --built FILE [--rows 1000000] [--target sfmc]

FILE is a built DuckDB file, of which the tables of the export are copied, and filled
with new customers. They are shipped to the stand-in on this machine, which runs in a
process of its own. Prints rows per second and the script's largest resident memory.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "export_segments.py"


def serve(pipe):
    """Run the stand-in until told to stop; then say how many rows arrived."""
    from salesforce_stand_in import CustomObject, DataExtension, StandIn
    from test_scripts_export_segments import crm_fields, sfmc_fields

    with StandIn() as one:
        one.extensions["clv_segments"] = DataExtension("clv_segments", sfmc_fields())
        thing = CustomObject("Customer_Segment__c", crm_fields(), "Customer_Key__c")
        one.objects["Customer_Segment__c"] = thing
        pipe.send(one.environment)
        pipe.recv()
        pipe.send(len(one.extensions["clv_segments"].rows) + len(thing.rows))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--built", type=Path, required=True, metavar="FILE")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--target", default="sfmc", choices=["sfmc", "crm"])
    options = parser.parse_args()
    pipe, other = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(other,))
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        from test_scripts_export_segments import EXPORT, make_warehouse, peak_memory

        database = Path(folder) / options.built.name
        make_warehouse(database, options.built)
        with duckdb.connect(str(database)) as connection:
            connection.execute(
                f"insert into {EXPORT}audience select sha256(i::varchar), 'Champions', "
                "'Potential Loyalists', '2024-05-01', '100-250', 35, 12, '|all|', "
                "'2024-06-30', true, md5(i::varchar) "
                f"from range({options.rows}) as t (i)"
            )
        environment = pipe.recv() | {"CLV_DUCKDB_PATH": str(database)}
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--target", options.target, "--json"],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        peak = peak_memory(process)
        printed = process.stdout.read()
        seconds = time.monotonic() - started
    pipe.send("stop")
    arrived = pipe.recv()
    server.join()
    report = json.loads(printed)
    assert process.returncode == 0, report
    assert arrived == report["shipped_rows"] == options.rows, (arrived, report)
    print(
        f"{options.rows:,} rows in {seconds:.0f} s: {options.rows / seconds:,.0f} per "
        f"second, {report['requests']} requests, {report['bytes']:,} bytes, "
        f"{peak:.0f} MiB"
    )


if __name__ == "__main__":
    main()
