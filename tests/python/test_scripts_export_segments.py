"""scripts/export_segments.py and the stand-in: what fails, a rerun puts right."""

# ruff: noqa: D102

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from google.cloud.bigquery import LoadJobConfig
from salesforce_stand_in import (
    CLIENT_ID,
    CLIENT_SECRET,
    CustomObject,
    DataExtension,
    StandIn,
)
from test_builds import Build

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))
import export_segments  # noqa: E402
import export_transports  # noqa: E402
import export_warehouse  # noqa: E402
from build_emulator import LOCATION, NAME, emulator  # noqa: E402
from export_transports import COLUMNS, KEY  # noqa: E402
from load_bigquery import open_client  # noqa: E402

EMULATOR = ROOT / ".venv" / "emulator" / "bin" / "python"

# Answers come at once, but a busy machine may be slow to read them.
FAST = ("--pause", "0.02", "--timeout", "20", "--deadline", "30")
# Where none comes, or never the right one.
SHORT = ("--timeout", "1", "--deadline", "1.5")
EXPORT = "clv_export.export_marketing_cloud__"
CANARY = "canary-value"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A real build of a few customers: tables and views of the export are its own."""
    days = pd.date_range("2024-01-01", "2024-06-30", freq="D")
    rows = [
        (
            f"u{user}",
            days[(user * 7 + visit * (user % 40 + 5)) % len(days)],
            10.0 + user,
        )
        for user in range(400)
        for visit in range(1 + user % 4)
    ]
    log = pd.DataFrame(rows, columns=["user_id", "ts", "amount"])
    build = Build(tmp_path_factory.mktemp("export"))
    build.load(transactions=log)
    build.build("--select", "+models/export", clv_backtest_days=[])
    return build


def sfmc_fields():
    """The columns of a data extension that fits."""
    return [
        {
            "name": c.sfmc,
            "type": c.kind,
            "isPrimaryKey": c is KEY,
            "isNullable": c is not KEY,
            "length": c.length,
        }
        for c in COLUMNS
    ]


def crm_fields():
    """The fields of an object that fits."""
    kinds = {"Text": "string", "Number": "double", "Boolean": "boolean"}
    return [
        {
            "name": c.crm,
            "type": kinds[c.kind],
            "length": c.length if c.kind == "Text" else 0,
            "externalId": c is KEY,
            "updateable": True,
        }
        for c in COLUMNS
    ]


@pytest.fixture(scope="module")
def stand_in_server():
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(stand_in_server, monkeypatch):
    """The stand-in, clean, and an environment that leads to it."""
    one = stand_in_server
    one.requests.clear()
    one.faults.clear()
    one.jobs.clear()
    one.tokens.clear()
    one.lag, one.lifetime, one.page = (1, 1), 1079, 50
    one.row_faults, one.truncate_results, one.csv_charset = [], 0, False
    one.extensions = {"clv_segments": DataExtension("clv_segments", sfmc_fields())}
    one.objects = {
        "Customer_Segment__c": CustomObject(
            "Customer_Segment__c", crm_fields(), KEY.crm
        )
    }
    for name, value in one.environment.items():
        monkeypatch.setenv(name, value)
    return one


def make_warehouse(database, built):
    """Make a file with the export's tables, empty, and its views, as built.

    Args:
        database: the file, named warehouse.duckdb as its views say.
        built: the file of a build, of the same name.
    """
    with duckdb.connect() as connection:
        connection.execute(f"attach '{built}' as {built.stem} (read_only)")
        views = dict(
            connection.execute(
                "select view_name, sql from duckdb_views() "
                "where schema_name = 'clv_export'"
            ).fetchall()
        )
        connection.execute(f"detach {built.stem}")
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"attach '{built}' as built (read_only)")
        for table in (
            "clv_intermediate.int_as_of",
            "clv_intermediate.int_logs",
            "clv_state.export_runs",
            "clv_state.export_ledger",
            f"{EXPORT}audience",
            f"{EXPORT}candidates",
            f"{EXPORT}exclusions",
        ):
            schema = table.partition(".")[0]
            connection.execute(f"create schema if not exists {schema}")
            connection.execute(f"create table {table} as from built.{table}")
        connection.execute("detach built")
        connection.execute(f"delete from {EXPORT}audience")
        connection.execute(f"delete from {EXPORT}candidates")
        for name in ("shipped", "delta"):
            connection.execute(views[f"export_marketing_cloud__{name}"])


class World:
    """A warehouse, a destination and the script between them."""

    def __init__(self, folder, built, stand_in, monkeypatch, capsys):
        self.database = folder / "warehouse.duckdb"  # the name its views know
        self.stand_in, self.capsys, self.printed = stand_in, capsys, ""
        monkeypatch.setenv("CLV_DUCKDB_PATH", str(self.database))
        make_warehouse(self.database, built.database)

    def sql(self, query):
        with duckdb.connect(str(self.database)) as connection:
            return connection.execute(query).fetchall()

    def audience(self, *customers, **changes):
        """Make these the audience; `changes` are columns that differ from the usual."""
        self.sql(f"delete from {EXPORT}audience")
        self.add(self.row(**changes), customers)
        return self

    def row(self, **changes):
        row = {
            "clv_segment": "Loyal",
            "rfm_segment": "Champions",
            "segment_since": "2024-05-01",
            "clv_365d": "50-100",
            "probability_purchase_90d_pct": 35,
            "offer_cap": 12,
            "campaigns": f"|{CANARY}|",
            "as_of_date": "2024-06-30",
            "has_consent": True,
        } | changes
        return row | {"row_hash": hashlib.md5(json.dumps(row).encode()).hexdigest()}

    def add(self, row, customers):
        keys = [hashlib.sha256(str(c).encode()).hexdigest() for c in customers]
        frame = pd.DataFrame([{"customer_key": key, **row} for key in keys])
        if len(frame):
            with duckdb.connect(str(self.database)) as connection:
                connection.execute(
                    f"insert into {EXPORT}audience by name select * from frame"
                )

    def run(self, *options, target="sfmc"):
        """Run the script in this process; return its exit code."""
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        arguments = ["--target", target, "--json", *FAST, *options]
        with pytest.raises(SystemExit) as ended:
            export_segments.main(arguments, standalone_mode=False)
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
        printed = self.capsys.readouterr()
        self.report = json.loads(printed.out.splitlines()[-1])
        self.out = printed.err
        self.printed += printed.out + printed.err
        return ended.value.code

    def start(self, *options, target="sfmc"):
        """Start the script as a process of its own."""
        return subprocess.Popen(
            [
                *(sys.executable, str(SCRIPTS / "export_segments.py")),
                *("--target", target, *FAST, *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process):
        out, err = process.communicate(timeout=120)
        self.printed += out + err
        return process.returncode

    def destination(self, target="sfmc"):
        """Rows there, by key, with the columns named as in the warehouse."""
        if target == "sfmc":
            rows = self.stand_in.extensions["clv_segments"].rows.values()
            return {
                row["customerkey"]: {c.name: row[c.sfmc.lower()] for c in COLUMNS}
                for row in rows
            }
        rows = self.stand_in.objects["Customer_Segment__c"].rows.values()
        return {
            row[KEY.crm]: {c.name: typed(c, row[c.crm]) for c in COLUMNS}
            for row in rows
        }

    def is_in_step(self, target="sfmc"):
        """Whether the active rows there are the audience and all others are blank."""
        names = [c.name for c in COLUMNS if c.name != "is_active"]
        rows = self.sql(f"select {', '.join(names)} from {EXPORT}audience")
        wanted = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
        there = self.destination(target)
        active = {k: dict(row) for k, row in there.items() if row.pop("is_active")}
        blank = {"probability_purchase_90d_pct": 0, "offer_cap": 0}
        for key, row in there.items():
            if key not in active:
                row = {n: v for n, v in row.items() if n not in ("is_active", KEY.name)}
                row.pop("as_of_date")
                assert row == dict.fromkeys(row, "") | blank
        return active == wanted

    def shipped(self):
        return self.sql(
            "select count(*) from clv_state.export_ledger where is_shipped"
        )[0][0]


def typed(column, text):
    if column.kind == "Boolean":
        return text == "true"
    if column.kind == "Number":
        return int(text)
    return text or ""


@pytest.fixture
def world(tmp_path, built, stand_in, monkeypatch, capsys):
    """Yield a world; afterwards nothing secret may have been printed or recorded."""
    monkeypatch.setattr(export_transports.MarketingCloud, "max_rows", 10)
    monkeypatch.setattr(export_transports.Crm, "max_rows", 10)
    one = World(tmp_path, built, stand_in, monkeypatch, capsys)
    yield one
    ledger = str(one.sql("select distinct code from clv_state.export_ledger"))
    runs = str(one.sql("from clv_state.export_runs"))
    keys = one.sql(f"select min(customer_key) from {EXPORT}audience")[0]
    for canary in (
        CLIENT_SECRET,
        CLIENT_ID,
        "token-canary",
        CANARY,
        *filter(None, keys),
    ):
        assert canary not in one.printed + ledger + runs
    for request in stand_in.requests:
        if not request.path.endswith("/token"):
            assert CLIENT_SECRET.encode() not in request.body


@pytest.fixture(params=["sfmc", "crm"])
def target(request):
    return request.param


def test_the_destination_becomes_the_audience_and_a_rerun_ships_nothing(world, target):
    world.audience(*range(25))
    assert world.run(target=target) == 0
    assert world.is_in_step(target)
    assert (world.report["shipped_rows"], world.report["requests"]) == (25, 3)
    world.stand_in.requests.clear()
    assert world.run(target=target) == 0
    assert world.stand_in.requests == []
    events = world.sql(
        "select event, exit_code, shipped_rows from clv_state.export_runs"
    )
    assert events == [("started", None, None), ("ended", 0, 25)]


def test_changes_leavers_and_returners_are_shipped_and_nobody_else(world, target):
    world.audience(*range(5))
    assert world.run(target=target) == 0
    world.audience(1, 2)
    world.audience(*range(4), clv_segment="At Risk")
    assert world.run(target=target) == 0
    assert world.is_in_step(target)
    assert (world.report["shipped_rows"], world.report["removed_rows"]) == (4, 1)
    world.audience(*range(5), clv_segment="At Risk")
    assert world.run(target=target) == 0
    assert world.is_in_step(target)
    assert world.report["shipped_rows"] == 1


def test_keys_made_with_the_salt_of_the_demo_do_not_leave(world, built):
    world.audience(*range(5))
    with duckdb.connect(str(world.database)) as connection:
        connection.execute(f"attach '{built.database}' as built (read_only)")
        connection.execute(
            f"insert into {EXPORT}candidates from built.{EXPORT}candidates limit 9"
        )
    assert world.run("--dry-run") == 0
    assert world.run() == 2
    assert "set CLV_EXPORT_SALT" in world.out
    assert world.stand_in.requests == []
    world.sql(f"update {EXPORT}candidates set customer_key = sha256(customer_key)")
    assert world.run() == 0


@pytest.mark.skipif(not EMULATOR.exists(), reason="the emulator is not installed")
def test_a_delta_in_bigquery_is_shipped_and_recorded_there(world, target, tmp_path):
    world.audience(*range(25))
    with emulator(EMULATOR, tmp_path, tmp_path / "emulator.log") as (_, endpoint):
        client = open_client(NAME, LOCATION, endpoint)
        with duckdb.connect(str(world.database), read_only=True) as connection:
            for name in (
                *(f"{EXPORT}{n}" for n in ("audience", "candidates", "exclusions")),
                *(f"{EXPORT}{n}" for n in ("shipped", "delta")),
                *("clv_state.export_runs", "clv_state.export_ledger"),
            ):
                client.create_dataset(name.split(".")[0], exists_ok=True)
                file = tmp_path / "table.parquet"
                connection.execute(f"copy (from {name}) to '{file}' (format parquet)")
                with file.open("rb") as content:
                    client.load_table_from_file(
                        content,
                        f"{NAME}.{name}",
                        job_config=LoadJobConfig(source_format="PARQUET"),
                    ).result(timeout=60)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CLV_BIGQUERY_ENDPOINT", endpoint)
            assert world.run("--warehouse", "emulator", target=target) == 0
        assert world.is_in_step(target)
        state = f"{NAME}.clv_state.export_"
        events = client.query(f"select event, shipped_rows from {state}runs")
        assert {tuple(row) for row in events} == {("started", None), ("ended", 25)}
        ledger = client.query(
            f"select is_shipped, count(distinct customer_key) from {state}ledger "
            "group by 1"
        )
        assert {tuple(row) for row in ledger} == {(False, 25), (True, 25)}


def test_another_shop_and_an_earlier_day_are_shipped_only_when_asked(world, target):
    exclusions = f"{EXPORT}exclusions"
    world.audience(*range(25))
    assert world.run(target=target) == 0
    log_id, day = world.sql(f"select log_id, as_of_date from {exclusions}")[0]
    assert world.sql(
        "select distinct log_id, as_of_date from clv_state.export_runs"
    ) == [(log_id, day)]
    assert world.sql("select distinct log_id from clv_state.export_ledger") == [
        (log_id,)
    ]
    for change, sentence in (
        (f"as_of_date = date '{day}' - 1", f"before the one shipped last, as of {day}"),
        ("log_id = 'another1'", f"holds one of log {log_id}, another shop"),
    ):
        world.sql(f"update {exclusions} set {change}")
        world.audience(*range(1, 26))
        asked = len(world.stand_in.requests)
        assert world.run("--dry-run", target=target) == 5
        assert world.run(target=target) == 5
        assert sentence in world.out
        assert "--accept-audience" in world.out
        assert len(world.stand_in.requests) == asked
        assert world.run("--accept-audience", target=target) == 0
        # What was shipped last is what is there now.
        world.audience(*range(2, 26))
        assert world.run(target=target) == 0
        world.sql(f"update {exclusions} set as_of_date = '{day}', log_id = '{log_id}'")
        if "log_id" in change:
            assert world.run(target=target) == 5


def test_a_dry_run_asks_and_writes_nothing(world, target):
    world.audience(*range(25))
    assert world.run("--dry-run", target=target) == 0
    assert world.stand_in.requests == []
    assert world.sql("from clv_state.export_runs") == []
    assert world.sql("from clv_state.export_ledger") == []
    assert (world.report["new"], world.report["requests"]) == (25, 3)
    counted = world.report["bytes"]
    assert world.run(target=target) == 0
    assert world.report["bytes"] == counted


def test_values_arrive_as_they_are(world, target):
    text = '"a, b"\n\u2028é漢'
    world.audience(1, clv_segment=text)
    assert world.run(target=target) == 0
    assert world.is_in_step(target)
    (row,) = world.destination(target).values()
    assert row["clv_segment"] == text
    # A text, so that a server at UTC-6 cannot make it the day before.
    assert row["as_of_date"] == "2024-06-30"


ASYNC = r"PUT .*rest.*async/dataextensions"
BUSY = {"message": "x", "errorcode": 50100, "retryAfter": 1}
BLOCKED = {"message": "Your requests are temporarily blocked.", "errorcode": 50200}
PASSING = {
    "429 with Retry-After": [(ASYNC, 429, BUSY, {"headers": {"Retry-After": "1"}})],
    "429 with retryAfter": [(ASYNC, 429, BUSY, {})],
    "429 without": [(ASYNC, 429, BLOCKED, {})],
    "503 with Retry-After": [(ASYNC, 503, {}, {"headers": {"Retry-After": "1"}})],
    "500 on submit": [(ASYNC, 500, {"message": "Internal Server Error"}, {"times": 3})],
    "502 on poll": [("/status", 502, "<html>", {"times": 2})],
    "504 on results": [("/results", 504, "", {"times": 2})],
    "reset before": [(ASYNC, None, None, {"drop": "before"})],
    "reset after": [(ASYNC, None, None, {"drop": "after"})],
    "reset of a poll": [("/status", None, None, {"drop": "after"})],
    "silence": [(ASYNC, None, None, {"delay": 1.5})],
    "401 on submit": [(ASYNC, 401, {"errorcode": 0}, {"skip": 1})],
    "401 on poll": [("/status", 401, {"errorcode": 0}, {"skip": 2})],
    "token 429": [("/v2/token", 429, BLOCKED, {})],
    "token 503 in HTML": [("/v2/token", 503, "<html>", {})],
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_of_marketing_cloud_is_waited_out(world, fault):
    world.audience(*range(25))
    for match, status, body, more in PASSING[fault]:
        world.stand_in.fault(match, status, body, **more)
    if "results" in fault:
        world.stand_in.row_faults = [[".", "Rerun the transaction.", 2]]
    started = time.monotonic()
    assert world.run(*(SHORT[:2] if fault == "silence" else ())) == 0
    assert all(not f["times"] for f in world.stand_in.faults)
    assert world.is_in_step()
    if "retry" in fault.lower():
        assert time.monotonic() - started > 1
    assert world.run() == 0
    assert world.report["requests"] == 0


def test_tokens_are_kept_until_they_end(world):
    world.audience(*range(25))
    assert world.run() == 0
    tokens = [r for r in world.stand_in.requests if r.path == "/v2/token"]
    assert len(tokens) == 1
    world.stand_in.lifetime = 0.1
    assert world.run("--full") == 0
    assert world.is_in_step()


def test_a_request_that_is_indexed_late_is_waited_for(world):
    world.audience(*range(3))
    world.stand_in.lag = (4, 2)
    assert world.run() == 0
    assert world.is_in_step()


def test_the_outcome_of_every_row_is_read_from_all_pages(world, monkeypatch):
    monkeypatch.setattr(export_transports.MarketingCloud, "max_rows", 200)
    world.audience(*range(120))
    world.stand_in.row_faults = [[".", "Rerun the transaction.", 60]]
    world.stand_in.page = 50
    assert world.run() == 0
    assert world.is_in_step()


MISSING = {
    "requestId": "1",
    "resultMessages": [
        {
            "resultClass": "Error",
            "resultCode": "CustomObjectNotFound",
            "message": CANARY,
        }
    ],
}
LASTING = {
    "an outage": (ASYNC, None, None, {"drop": "before"}, 4),
    "an outage of the login": ("/v2/token", 500, "", {}, 4),
    "a login in HTML": ("/v2/token", 200, f"<html>{CLIENT_SECRET}", {}, 4),
    "a login refused": ("/v2/token", 401, {"error": "invalid_client"}, {}, 3),
    "a client that may not": (ASYNC, 403, {"errorcode": 20002}, {}, 3),
    "a token that never holds": (ASYNC, 401, {"errorcode": 0}, {}, 3),
    "an error under status 200": (ASYNC, 200, MISSING, {}, 2),
    "no extension": (ASYNC, 400, MISSING, {}, 2),
    "a body refused": (ASYNC, 400, {"errorcode": 10003, "message": CANARY}, {}, 2),
    "never indexed": (r"/status", 200, MISSING, {}, 4),
}


@pytest.mark.parametrize("fault", LASTING)
def test_a_lasting_fault_of_marketing_cloud_ends_the_run_and_a_rerun_heals(
    world, fault
):
    match, status, body, more, code = LASTING[fault]
    world.audience(*range(25))
    world.stand_in.fault(match, status, body, times=99, **more)
    assert world.run(*(SHORT if code == 4 else ())) == code
    assert world.shipped() == 0
    assert "canary" not in world.out
    world.stand_in.faults.clear()
    assert world.run() == 0
    assert world.is_in_step()


def test_an_outage_in_the_middle_keeps_what_was_confirmed(world):
    world.audience(*range(25))
    world.stand_in.fault(ASYNC, 500, "", times=99, skip=1)
    assert world.run("--deadline", "3") == 4
    assert world.shipped() == 10
    world.stand_in.faults.clear()
    assert world.run() == 0
    assert world.report["shipped_rows"] == 15
    assert world.is_in_step()


def test_pending_for_ever_ends_with_nothing_recorded(world):
    world.audience(*range(3))
    world.stand_in.lag = (0, 10_000)
    assert world.run(*SHORT) == 4
    assert world.shipped() == 0
    world.stand_in.lag = (0, 0)
    assert world.run() == 0
    assert world.is_in_step()


def test_too_few_results_prove_nothing(world):
    world.audience(*range(3))
    world.stand_in.truncate_results = 1
    assert world.run(*SHORT) == 4
    assert world.shipped() == 0
    world.stand_in.truncate_results = 0
    assert world.run() == 0
    assert world.is_in_step()


def test_rows_that_deadlock_are_sent_once_more(world):
    world.audience(*range(10))
    world.stand_in.row_faults = [[".", "deadlocked. Rerun the transaction.", 3]]
    assert world.run() == 0
    assert world.is_in_step()
    world.audience(*range(10), clv_segment="At Risk")
    world.stand_in.row_faults = [[".", "deadlocked. Rerun the transaction.", 99]]
    assert world.run() == 1
    assert world.report["transient_rows"] == 10
    world.stand_in.row_faults = []
    assert world.run() == 0
    assert world.is_in_step()


def test_a_refused_row_is_retried_twice_then_rests_until_it_changes(world, target):
    world.audience(*range(8))
    world.add(world.row(rfm_segment=CANARY + "x" * 50), ["long"])
    for _ in range(3):
        assert world.run(target=target) == 1
        assert world.report["rejected_rows"] == 1
    ((code,),) = world.sql(
        "select distinct code from clv_state.export_ledger "
        "where not is_shipped and not is_transient"
    )
    assert ("RfmSegment" if target == "sfmc" else "Rfm_Segment__c") in code
    assert world.run(target=target) == 0
    assert world.report["quarantined"] == 1
    assert world.run("--retry-rejected", target=target) == 1
    world.audience(*range(8), "long")
    assert world.run(target=target) == 0
    assert world.is_in_step(target)


def test_a_refusal_of_all_rows_is_not_held_against_them(world, target):
    world.audience(*range(25), clv_segment="x" * 51)
    assert world.run(target=target) == 5
    writes = [r for r in world.stand_in.requests if r.method == "PUT"]
    assert len(writes) == 1
    assert world.run(target=target) == 5
    assert world.run(target=target) == 5
    assert world.run("--dry-run", target=target) == 0
    assert world.report["quarantined"] == 0


MISFITS = {
    "no primary key": ("customerkey", {"isPrimaryKey": False}),
    "too short": ("clvsegment", {"length": 10}),
    "of another type": ("offercap", {"type": "Text"}),
    "missing": ("campaigns", None),
    "one too many, required": ("email", {"name": "Email", "isNullable": False}),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_data_extension_that_does_not_fit_is_refused_before_anything_is_sent(
    world, misfit
):
    world.audience(1)
    fields = world.stand_in.extensions["clv_segments"].fields
    name, change = MISFITS[misfit]
    if change:
        fields[name] = fields.get(name, {}) | change
    else:
        del fields[name]
    assert world.run() == 2
    assert not any(request.method == "PUT" for request in world.stand_in.requests)
    assert name in world.out.lower()
    assert world.run("--check") == 2


@pytest.mark.parametrize(
    "change",
    [{"externalId": False}, {"length": 10}, {"updateable": False}, None],
)
def test_an_object_that_does_not_fit_is_refused(world, change):
    world.audience(1)
    fields = world.stand_in.objects["Customer_Segment__c"].fields
    if change:
        fields[KEY.crm] = fields[KEY.crm] | change
    else:
        del fields["Campaigns__c"]
    assert world.run(target="crm") == 2
    assert not any(request.method == "PUT" for request in world.stand_in.requests)


def test_check_writes_nothing_and_create_makes_the_extension(world, target):
    assert world.run("--check", target=target) == 0
    assert not any(r.is_write for r in world.stand_in.requests)
    if target == "sfmc":
        world.stand_in.extensions.clear()
        assert world.run("--check") == 2
        assert world.run("--check", "--create") == 0
        assert world.run("--check") == 0
        world.audience(*range(3))
        assert world.run() == 0
        assert world.is_in_step()


INGEST = r"services/data/v59.0/jobs/ingest"
CRM_PASSING = {
    "503 on poll": (rf"GET .*{INGEST}/\w+$", 503, "", {"times": 2}),
    "429 with Retry-After": (
        rf"GET .*{INGEST}/\w+$",
        429,
        "",
        {"headers": {"Retry-After": "1"}},
    ),
    "reset of a poll": (rf"GET .*{INGEST}/\w+$", None, None, {"drop": "before"}),
    "503 on creation": (rf"POST .*{INGEST}$", 503, "", {}),
    "reset of the upload": (r"PUT .*/batches", None, None, {"drop": "before"}),
    "upload lost, so a second PUT": (r"PUT .*/batches", None, None, {"drop": "after"}),
    "silence": (r"PUT .*/batches", None, None, {"delay": 1.5}),
    "401 on close": (r"PATCH ", 401, [{"errorCode": "INVALID_SESSION_ID"}], {}),
    "500 on results": (r"GET .*/successfulResults", 500, "", {"times": 2}),
    "aborted": (rf"GET .*{INGEST}/\w+$", 200, {"state": "Aborted"}, {}),
    "login 503": ("oauth2/token", 503, "", {}),
}


@pytest.mark.parametrize("fault", CRM_PASSING)
def test_a_passing_fault_of_salesforce_is_waited_out(world, fault):
    match, status, body, more = CRM_PASSING[fault]
    world.audience(*range(25))
    world.stand_in.fault(match, status, body, **more)
    limits = SHORT[:2] if fault == "silence" else ()
    assert world.run(*limits, target="crm") == 0
    assert not world.stand_in.faults[0]["times"]
    assert world.is_in_step("crm")
    assert world.run(target="crm") == 0
    assert world.report["requests"] == 0


INVALID = {"state": "Failed", "errorMessage": f"InvalidBatch : Field : {CANARY}"}
CRM_LASTING = {
    "an outage": (INGEST, None, None, {"drop": "before"}, 4),
    "a login refused": ("oauth2/token", 400, {"error": "invalid_client"}, {}, 3),
    "a failed job": (rf"GET .*{INGEST}/\w+$", 200, INVALID, {}, 2),
    "no object": (rf"POST .*{INGEST}$", 404, [{"errorCode": "NOT_FOUND"}], {}, 2),
    "refused": (rf"POST .*{INGEST}$", 403, [{"errorCode": "LIMIT"}], {}, 4),
    "never done": (rf"GET .*{INGEST}/\w+$", 200, {"state": "InProgress"}, {}, 4),
}


@pytest.mark.parametrize("fault", CRM_LASTING)
def test_a_lasting_fault_of_salesforce_ends_the_run_and_a_rerun_heals(world, fault):
    match, status, body, more, code = CRM_LASTING[fault]
    world.audience(*range(5))
    world.stand_in.fault(match, status, body, times=999, **more)
    assert world.run(*(SHORT if code == 4 else ()), target="crm") == code
    assert world.shipped() == 0
    world.stand_in.faults.clear()
    assert world.run(target="crm") == 0
    assert world.is_in_step("crm")


def test_locked_and_unprocessed_rows_are_sent_once_more(world):
    world.audience(*range(10))
    world.stand_in.row_faults = [
        [".", f"UNABLE_TO_LOCK_ROW:{CANARY}: --", 2],
        [".", "unprocessed", 2],
    ]
    assert world.run(target="crm") == 0
    assert world.is_in_step("crm")


# -- Crashes


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_after_a_kill_the_rerun_puts_it_right_consent_withdrawn_or_not(world):
    world.audience(*range(5))
    world.stand_in.lag = (0, 0)
    world.stand_in.fault("/status", delay=20)
    process = world.start("--timeout", "60", "--deadline", "60")
    wait_until(lambda: world.stand_in.extensions["clv_segments"].rows)
    process.kill()
    world.finish(process)
    assert world.shipped() == 0
    world.audience(*range(4))  # the fifth withdrew before anything was recorded
    assert world.run() == 0
    assert world.is_in_step()
    assert world.report["removed_rows"] == 1


def test_interrupted_the_chunk_is_finished_and_a_rerun_does_the_rest(world, tmp_path):
    world.audience(*range(25_000))
    world.stand_in.fault(ASYNC, delay=0.7, times=9)
    process = world.start()
    wait_until(lambda: any(r.method == "PUT" for r in world.stand_in.requests))
    process.send_signal(signal.SIGINT)
    assert world.finish(process) == 130
    assert 0 < world.shipped() < 25_000
    ended = world.sql(
        "select exit_code from clv_state.export_runs where event = 'ended'"
    )
    assert ended == [(130,)]
    world.stand_in.faults.clear()
    assert world.finish(world.start()) == 0
    assert world.is_in_step()


def test_a_second_run_is_refused_while_one_is_at_work(world):
    world.audience(*range(5))
    world.stand_in.fault(ASYNC, delay=3)
    first = world.start("--timeout", "60", "--deadline", "60")
    wait_until(lambda: any(r.method == "PUT" for r in world.stand_in.requests))
    second = world.start()
    assert world.finish(second) == 6
    assert world.finish(first) == 0
    assert world.is_in_step()


class Shared(export_warehouse.DuckDb):
    """A warehouse that others may write to meanwhile, as BigQuery is."""

    is_exclusive = False


OPEN = (
    "insert into clv_state.export_runs (run_id, target, event, recorded_at) "
    "values ('other', 'sfmc', 'started', {})"
)
UTC = "cast(now() at time zone 'UTC' as timestamp)"


@pytest.mark.parametrize(
    ("opened", "code"),
    [
        ([OPEN.format(UTC)], 6),
        ([OPEN.format(f"{UTC} - interval 2 hour")], 0),
        (
            [
                OPEN.format(f"{UTC} - interval 2 hour"),
                "insert into clv_state.export_ledger (run_id, target, recorded_at) "
                f"values ('other', 'sfmc', {UTC})",
            ],
            6,
        ),
        ([OPEN.format(UTC).replace("'sfmc'", "'crm'")], 0),
        ([OPEN.format(UTC), OPEN.format(UTC).replace("'started'", "'ended'")], 0),
    ],
)
def test_an_open_run_counts_while_it_shows_signs_of_life(
    world, monkeypatch, opened, code
):
    monkeypatch.setattr(
        export_segments, "open_warehouse", lambda _, read_only: Shared(read_only)
    )
    world.audience(1)
    for statement in opened:
        world.sql(statement)
    assert world.run() == code
    assert bool(world.destination()) is (code == 0)


def test_two_runs_that_start_at_once_both_give_way(world, monkeypatch):
    class Raced(Shared):
        def append(self, table, rows, job):
            super().append(table, rows, job)
            if rows[0].get("event") == "started":
                self.connection.execute(OPEN.format(UTC))

    monkeypatch.setattr(
        export_segments, "open_warehouse", lambda _, read_only: Raced(read_only)
    )
    world.audience(1)
    assert world.run() == 6
    assert world.destination() == {}


def test_a_ledger_that_cannot_be_written_ends_the_run(world, monkeypatch):
    world.audience(*range(5))
    append = export_warehouse.DuckDb.append

    def failing(self, table, rows, job):
        if rows[0].get("code") == "ok":
            raise duckdb.IOException(CANARY)
        append(self, table, rows, job)

    monkeypatch.setattr(export_warehouse.DuckDb, "append", failing)
    assert world.run() == 4
    assert len(world.destination()) == 5
    monkeypatch.undo()
    for name, value in world.stand_in.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLV_DUCKDB_PATH", str(world.database))
    assert world.run() == 0
    assert world.is_in_step()


# -- Guards


@pytest.mark.parametrize("left", [range(30), []])
def test_a_mass_removal_needs_a_word(world, left):
    world.audience(*range(60))
    assert world.run() == 0
    world.audience(*left)
    before = len(world.stand_in.requests)
    assert world.run("--dry-run") == 5
    assert world.run() == 5
    assert len(world.stand_in.requests) == before
    assert world.run("--max-remove-pct", "100") == 0
    assert world.is_in_step()


def test_a_customer_without_consent_stops_the_run(world):
    world.audience(*range(3))
    world.audience(*range(3), has_consent=False)
    assert world.run() == 2
    assert world.destination() == {}


def test_a_key_twice_stops_the_run(world):
    world.audience(1, 2, 2)
    assert world.run() == 2
    assert world.stand_in.requests == []


def test_a_column_nobody_allowed_stops_the_run(world):
    world.audience(1)
    ((sql,),) = world.sql(
        "select sql from duckdb_views() where view_name like '%\\_\\_delta' escape '\\'"
    )
    world.sql("create table clv_export.emails as select 'a@b.c' as email")
    name = f"{EXPORT}delta"
    query = sql.partition(" AS ")[2].rstrip(";")
    world.sql(f"create or replace view {name} as select *, '' as email from ({query})")
    assert world.run() == 2
    assert "unknown columns: email" in world.out
    assert world.stand_in.requests == []


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        ("sfmc", "SFMC_SUBDOMAIN", "evil.example.com/"),
        ("sfmc", "SFMC_SUBDOMAIN", "x@evil"),
        ("sfmc", "SFMC_CLIENT_SECRET", ""),
        ("crm", "SF_DOMAIN", "evil.example/acme.my"),
        ("crm", "SF_CONSUMER_KEY", ""),
        ("sfmc", "SFMC_CLIENT_SECRET", "sm://project/name"),
    ],
)
def test_a_bad_setting_stops_before_any_request(
    world, monkeypatch, target, name, value
):
    world.audience(1)
    monkeypatch.setenv(name, value)
    assert world.run(target=target) == 2
    assert name in world.out
    assert world.stand_in.requests == []


@pytest.mark.parametrize(
    "host", ["https://evil.example.com/", "http://x.rest.marketingcloudapis.com/"]
)
def test_a_token_is_not_sent_to_another_host(world, host):
    world.audience(1)
    answer = {"access_token": "token-canary", "rest_instance_url": host}
    world.stand_in.fault("/v2/token", 200, answer)
    assert world.run() == 3
    assert len(world.stand_in.requests) == 1


def test_a_fault_of_the_script_shows_no_value(world, monkeypatch):
    def fail(*_):
        raise ValueError(CANARY)

    monkeypatch.setattr(export_transports.MarketingCloud, "outcome", fail)
    world.audience(*range(3))
    world.stand_in.row_faults = [[".", "Rerun the transaction.", 1]]
    assert world.run() == 70
    assert "ValueError" in world.out
    monkeypatch.undo()


def test_limit_and_full(world):
    world.audience(*range(25))
    assert world.run("--limit", "7") == 0
    assert len(world.destination()) == 7
    assert world.run() == 0
    world.stand_in.extensions["clv_segments"].rows.clear()  # somebody emptied it
    assert world.run() == 0
    assert world.destination() == {}
    assert world.run("--full") == 0
    assert world.is_in_step()


# -- Pieces


class Plain:
    """A transport whose rows are what they are."""

    max_rows = 3

    def __init__(self, room):
        columns = sum(len(c.crm) + 1 for c in COLUMNS)
        self.max_bytes = room + export_segments.FRAME + columns

    def encode(self, row):
        return row["text"].encode()


@pytest.mark.parametrize(
    ("texts", "room", "sizes"),
    [
        (["a"] * 3, 100, [3]),
        (["a"] * 4, 100, [3, 1]),
        (["aaaa", "bbbb"], 10, [2]),
        (["aaaa", "bbbbb"], 10, [1, 1]),
        (["éé", "éé"], 10, [2]),
        (["éé", "ééa"], 10, [1, 1]),
        ([], 10, []),
    ],
)
def test_chunks_are_cut_by_rows_and_bytes(texts, room, sizes):
    rows = iter([{"text": text} for text in texts])
    cut = list(export_segments.chunks(rows, Plain(room)))
    assert [len(chunk.rows) for chunk in cut] == sizes


def test_a_row_larger_than_a_request_is_refused():
    with pytest.raises(export_transports.ConfigError):
        list(export_segments.chunks(iter([{"text": "x" * 10}]), Plain(10)))


def test_the_script_knows_the_tables_as_they_are_built(built):
    found = {}
    for table, column, kind in built.read(
        "select table_name, column_name, data_type from information_schema.columns "
        "where table_schema = 'clv_state'"
    ).itertuples(index=False):
        found.setdefault(table, {})[column] = kind
    for table, columns in export_warehouse.STATE.items():
        assert found[table] == {n: kind.upper() for n, kind in columns.items()}


def test_what_is_built_fits_the_columns_that_are_shipped(built):
    for column in COLUMNS:
        if column.kind == "Text":
            longest = built.read(
                f"select max(length({column.name})) as n from {EXPORT}delta"
            )
            assert longest["n"][0] <= column.length
    audience = built.read(f"select count(*) as n from {EXPORT}audience")["n"][0]
    assert 0 < audience < 400


def test_a_full_refresh_keeps_the_state(built):
    with duckdb.connect(str(built.database)) as connection:
        connection.execute("insert into clv_state.export_runs (run_id) values ('kept')")
        connection.execute("alter table clv_state.export_runs drop column git_commit")
    built.build("--full-refresh", "--select", "export_marketing_cloud__shipped")
    runs = built.read("select run_id, git_commit from clv_state.export_runs")
    assert runs["run_id"].tolist() == ["kept"]
    with duckdb.connect(str(built.database)) as connection:
        connection.execute("delete from clv_state.export_runs")


def peak_memory(process):
    """Largest resident memory of a process until it ends, in MiB.

    Not that of getrusage, which counts what this process had when it forked.
    """
    status, peak = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        peak = int(found[1]) / 1024 if found else peak
        time.sleep(0.05)
    return peak


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_100_000_rows_are_shipped_within_a_memory_limit(world):
    world.audience()
    world.sql(
        f"insert into {EXPORT}audience select sha256(i::varchar), 'Loyal', 'Lost', "
        "'2024-05-01', '50-100', 35, 12, '|all|', '2024-06-30', true, md5(i::varchar) "
        "from range(100000) as t (i)"
    )
    process = world.start("--timeout", "30", "--deadline", "60")
    peak = peak_memory(process)
    assert world.finish(process) == 0
    assert len(world.destination()) == 100_000
    assert peak < 300
