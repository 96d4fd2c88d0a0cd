"""The metrics answer as the marts do; needs the optional extra `metrics`."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from conftest import ROOT

BIN = Path(sys.executable).parent


def test_a_metric_by_segment_is_what_the_mart_says(tmp_path):
    pytest.importorskip(
        "metricflow",
        reason="dbt-metricflow is not installed: pip install dbt-metricflow",
    )
    demo = Path(os.environ.get("CLV_TEST_DEMO") or ROOT / "warehouse.duckdb")
    if not demo.exists():
        pytest.skip("no built demo: run scripts/build.sh first")
    # MetricFlow opens the file for writing; the name is the database of its views
    database = shutil.copy(demo, tmp_path / "warehouse.duckdb")
    environment = os.environ | {
        "CLV_DUCKDB_PATH": str(database),
        "DBT_PROFILES_DIR": str(ROOT),
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "DBT_LOG_PATH": str(tmp_path / "logs"),
        "NO_COLOR": "1",
    }
    answer = tmp_path / "answer.csv"
    metrics = "customer_equity_365d,customer_count"
    for command in (
        [BIN / "dbt", "--quiet", "parse"],
        [BIN / "mf", "query", "--metrics", metrics, "--csv", answer,
         "--group-by", "customer__clv_segment"],
    ):  # fmt: skip
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    with answer.open(newline="") as lines:
        told = {
            row["customer__clv_segment"]: (
                float(row["customer_equity_365d"]),
                int(float(row["customer_count"])),
            )
            for row in csv.DictReader(lines)
        }
    with duckdb.connect(str(database), read_only=True) as connection:
        marts = connection.sql(
            "select segment, clv_365d, customers from clv.clv.segment_summary "
            "where scheme = 'clv' and customers > 0"
        ).fetchall()
    assert {name: customers for name, (_, customers) in told.items()} == {
        name: customers for name, _, customers in marts
    }
    for name, equity, _ in marts:
        assert told[name][0] == pytest.approx(equity, rel=1e-9)
