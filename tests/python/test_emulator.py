"""The BigQuery emulator: every optional input gives the same marts as on DuckDB."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import duckdb
import pytest
from conftest import ROOT
from test_builds import RICH, SEEDS, Build, rich_inputs

SCRIPTS = ROOT / "scripts"
SERVER = ROOT / ".venv" / "emulator" / "bin" / "python"


def script(name):
    """A script as a module; those it uses lie beside it."""
    sys.path.insert(0, str(SCRIPTS))
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where its data classes look for themselves
    spec.loader.exec_module(module)
    return module


def test_every_optional_input_gives_the_same_marts_after_daily_runs_too(tmp_path):
    if os.environ.get("CLV_TEST_EMULATOR") != "true":
        pytest.skip("scripts/test.sh --emulator runs it")
    if not (ROOT / ".venv" / "bin" / "dbt").exists():
        pytest.skip("scripts/build.sh has not made its environment .venv")
    build = Build(tmp_path, SEEDS)
    build.load(**rich_inputs())
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    printed = build.call(
        *(tmp_path / "scripts" / "build.sh", "--target", "emulator"),
        *("--input", tmp_path / "input", "--vars", json.dumps(RICH), "--daily", "2"),
    )
    print(printed)
    if "SKIPPED" in printed:
        pytest.skip(printed.splitlines()[-1])
    assert "no mart changed" in printed
    assert "all marts are equal" in printed
    lines = [line for line in printed.splitlines() if "columns equal" in line]
    marts = {path.stem for path in (ROOT / "models" / "marts").rglob("*.sql")}
    compared = {line.split()[0] for line in lines}
    assert marts - {"scoring_runs"} <= compared
    # State and the delta to export are as after the same runs on DuckDB.
    assert {"equity_history", "accepted_loads"} <= compared
    assert {"int_segments__remembered", "export_marketing_cloud__delta"} <= compared


# -- Whatever happens, nothing keeps running


RUN = """
import sys, time, pathlib
sys.path.insert(0, {scripts!r})
from build_emulator import emulator
scratch = pathlib.Path({scratch!r})
with emulator({server!r}, scratch, scratch / "emulator.log") as (process, endpoint):
    print(endpoint, flush=True)
    time.sleep(300)
"""


@pytest.mark.skipif(not SERVER.exists(), reason="the emulator is not installed")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_the_emulator_ends_with_the_build(tmp_path, sent):
    program = RUN.format(
        scripts=str(SCRIPTS), scratch=str(tmp_path), server=str(SERVER)
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        # a shell ignores interrupts for what it runs in the background
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        endpoint = running.stdout.readline().strip()
        assert endpoint.startswith("http://127.0.0.1:")
        running.send_signal(sent)
        running.wait(60)
        # the emulator held this end of the pipe too
        running.stdout.read()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(50):
        try:
            opener.open(endpoint, timeout=2).close()
        except urllib.error.HTTPError:
            continue
        except (urllib.error.URLError, OSError):
            return
    pytest.fail(f"the emulator still answers at {endpoint}")


# -- The comparison sees every kind of difference


SAME = (
    "create table t as select 1::bigint as id, 'a' as name, 0.5::double as score, "
    "1.25::decimal(18, 4) as amount, date '2024-01-01' as day, true as flag "
    "union all select 2, 'b', null, 3, date '2024-01-02', false"
)
# As it comes from BigQuery: its whole numbers and decimals are wider.
WIDER = (
    "alter table t alter amount type decimal(38, 9); "
    "alter table t alter id type hugeint"
)


def marts(path, *statements):
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"create schema clv; use {path.stem}.clv")
        for statement in statements:
            connection.execute(statement)
    return path


def compared(tmp_path, *statements, without=frozenset()):
    compare = script("compare_warehouses").compare
    ours = marts(tmp_path / "ours.duckdb", SAME)
    theirs = marts(tmp_path / "theirs.duckdb", SAME, WIDER, *statements)
    return compare(ours, theirs, "clv", 1e-9, {"run_log"}, without)


def test_columns_that_tell_when_are_left_out(tmp_path):
    later = "update t set day = '2024-01-03' where id = 2"
    [found] = compared(tmp_path, later, without={"day"})
    assert (found.columns, found.differences) == (5, [])


def test_what_tells_of_runs_is_left_out(tmp_path):
    [found] = compared(tmp_path, "create table run_log as select 1 as invocation_id")
    assert (found.table, found.differences) == ("t", [])


def test_last_bits_and_the_width_of_numbers_do_not_matter(tmp_path):
    [found] = compared(tmp_path, "update t set score = score * (1 + 1e-12)")
    assert found.differences == []
    assert (found.rows, found.columns) == (2, 6)
    assert 5e-13 < found.largest < 2e-12


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        ("update t set score = 0.5000001 where id = 1", "1 of 2 rows in score by up"),
        ("update t set score = 0 where id = 2", "1 of 2 rows in score"),
        ("update t set score = null where id = 1", "1 of 2 rows in score"),
        ("update t set score = 'nan' where id = 1", "1 of 2 rows in score"),
        ("update t set name = null where id = 2", "1 of 2 rows in name"),
        ("update t set amount = 1.250000001 where id = 1", "1 of 2 rows in amount"),
        ("update t set day = '2024-01-03' where id = 2", "1 of 2 rows in day"),
        ("update t set flag = null where id = 2", "1 of 2 rows in flag"),
        ("delete from t where id = 2", "2 rows against 1"),
        ("alter table t drop score", "columns: [('score', 'float')]"),
        ("alter table t rename score to rate", "columns: [('rate'"),
        (
            "alter table t alter id type double",
            "columns: [('id', 'float'), ('id', 'whole number')]",
        ),
        ("alter table t drop name; alter table t add name text", "their order"),
        ("drop table t", "it is only on DuckDB"),
    ],
)
def test_differences_are_named(tmp_path, statement, difference):
    [found] = compared(tmp_path, statement)
    assert difference in str(found)


def test_a_table_of_one_side_only_is_a_difference(tmp_path):
    found = compared(tmp_path, "create table extra (id integer)")
    assert [each.differences for each in found] == [
        ["it is only on the emulator"],
        [],
    ]


def test_every_type_of_the_input_contract_has_one_in_bigquery():
    loader = script("load_bigquery")
    kinds = {kind for table in loader.CONTRACT.values() for kind in table.values()}
    assert kinds == set(loader.BIGQUERY_TYPES)
