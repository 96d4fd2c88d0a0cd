"""A user's first days with scripts/build.sh and one warehouse file.

Whole builds of a small shop, with one backtest and without tests: what is asked is that
the parts agree on whose data it is. The command `dbt` is the quicker one.
"""

import hashlib
import os
import subprocess

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from test_builds import Warehouse

pytestmark = pytest.mark.slow

SCRIPTS = ROOT / "scripts"
# What Python does first: orig_argv is known then, argv is not.
HURRY = """
import sys

if any(each.endswith("/bin/dbt") for each in sys.orig_argv):
    sys.path.append({scripts!r})
    import quick_dbt

    quick_dbt.hurry()
"""


def orders(seed, first_day, prefix):
    """A year of orders of 300 customers."""
    rng = np.random.default_rng(seed)
    rate, start = rng.gamma(0.7, 1 / 30, 300), rng.integers(0, 200, 300)
    rows = []
    for customer in range(300):
        day = start[customer]
        while day < 365:
            rows.append((f"{prefix}{customer:03}", day, round(rng.gamma(4, 8), 2)))
            day += 1 + rng.exponential(1 / rate[customer])
    frame = pd.DataFrame(rows, columns=["CustomerID", "InvoiceDate", "Total"])
    days = pd.to_timedelta(frame["InvoiceDate"].astype(int), "D")
    return frame.assign(InvoiceDate=(pd.Timestamp(first_day) + days).dt.date)


class Shell(Warehouse):
    """One warehouse file, and the script that users start."""

    def build(self, *options):
        """Run the script without tests; return what it printed."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DBT_", "CLV_"))
        }
        folder = self.database.parent
        (folder / "sitecustomize.py").write_text(HURRY.format(scripts=str(SCRIPTS)))
        done = subprocess.run(
            ["bash", SCRIPTS / "build.sh", "--fast", *map(str, options)],
            cwd=folder,
            env=environment
            | {
                "CLV_DUCKDB_PATH": str(self.database),
                "PYTHONPATH": str(folder),
                "DBT_TARGET_PATH": str(folder / "target"),
                "DBT_LOG_PATH": str(folder / "logs"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.exit_code = done.returncode
        return done.stdout

    def fingerprints(self):
        """Table of the marts and of state → hash of its rows."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            tables = connection.sql(
                "select table_schema, table_name from information_schema.tables "
                "where table_schema in ('clv', 'clv_state') "
                "and table_type = 'BASE TABLE'"
            ).fetchall()
            return {
                name: hashlib.sha256(
                    repr(
                        sorted(
                            map(
                                repr,
                                connection.sql(
                                    f"from {self.database.stem}.{schema}.{name}"
                                ).fetchall(),
                            )
                        )
                    ).encode()
                ).hexdigest()
                for schema, name in tables
            }


BACKTEST = ("--vars", "{clv_backtest_days: [91]}")
COLUMNS = ("--columns", "user_id=CustomerID,ts=InvoiceDate,amount=Total")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop that is loaded from one file with names of its own."""
    shell = Shell(tmp_path_factory.mktemp("first") / "warehouse.duckdb")
    shell.log = orders(1, "2024-01-01", "c")
    file = shell.database.parent / "orders.csv"
    shell.log.to_csv(file, index=False, sep=";")
    shell.printed = shell.build("--input", file, *COLUMNS, *BACKTEST)
    return shell


def total(shop):
    return shop.read("select sum(revenue_amount) as revenue from clv.customers")[
        "revenue"
    ].iloc[0]


def test_the_first_line_says_what_is_read(shop):
    assert shop.exit_code == 0, shop.printed
    lines = len(shop.log)
    first = shop.printed.splitlines()[0]
    assert f"orders.csv: {lines:,} lines, 2024-01-" in first
    assert "no currency" in first
    assert float(total(shop)) == pytest.approx(shop.log["Total"].sum(), abs=0.005)


def test_a_run_without_input_uses_what_is_loaded(shop):
    printed = shop.build("--run", "weekly_backtest", *BACKTEST)
    assert shop.exit_code == 0, printed
    assert "orders.csv" in printed.splitlines()[0]
    assert float(total(shop)) == pytest.approx(shop.log["Total"].sum(), abs=0.005)


def test_what_is_refused_leaves_marts_and_state_as_they_were(shop):
    before = shop.fingerprints()
    folder = shop.database.parent
    future = shop.log.astype({"InvoiceDate": str})
    future.loc[7, "InvoiceDate"] = "2203-01-01"
    halved = shop.log[shop.log.index % 2 == 0]
    for name, frame, sentence in (
        ("future.csv", future, "row 8"),
        # loaded, and refused beside the load accepted before
        ("halved.csv", halved, "the load accepted as of 2024-12-"),
    ):
        frame.to_csv(folder / name, index=False)
        printed = shop.build("--input", folder / name, *COLUMNS, *BACKTEST)
        assert shop.exit_code != 0
        assert sentence in " ".join(printed.split())
        assert "Traceback" not in printed
        assert shop.fingerprints() == before, name


def test_another_shop_in_the_same_file_starts_anew_and_the_old_one_goes_on(shop):
    folder = shop.database.parent
    versions = set(shop.read("from clv.model_registry")["model_version"])
    orders(2, "2021-01-01", "k").to_csv(folder / "other.csv", index=False)
    printed = shop.build("--input", folder / "other.csv", *COLUMNS, *BACKTEST)
    assert shop.exit_code == 0, printed
    assert printed.count("another log") == 1
    registry = shop.read("from clv.model_registry")
    assert not versions & set(registry["model_version"])
    assert (registry["status"] == "champion").any()
    ids = shop.read(
        "select distinct substr(customer_id, 1, 1) as prefix from clv.customer_segments"
    )
    assert ids["prefix"].tolist() == ["k"]
    moved = shop.read("select min(month) as month from clv.segment_transitions")
    assert pd.isna(moved["month"].iloc[0]) or str(moved["month"].iloc[0]) < "2022"
    # back to the first
    printed = shop.build("--input", folder / "orders.csv", *COLUMNS, *BACKTEST)
    assert shop.exit_code == 0, printed
    assert versions <= set(shop.read("from clv.model_registry")["model_version"])
