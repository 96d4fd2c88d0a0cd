"""scripts/export_segments.py and the stand-in: what fails, a rerun puts right."""

# ruff: noqa: D102

import datetime
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from attack_inputs import sheet_of
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from google.cloud.bigquery import LoadJobConfig
from salesforce_stand_in import (
    CLIENT_ID,
    CLIENT_SECRET,
    Answer,
    CustomObject,
    DataExtension,
    StandIn,
)
from test_builds import Build, Warehouse

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))
import export_files  # noqa: E402
import export_segments  # noqa: E402
import export_transports  # noqa: E402
import export_warehouse  # noqa: E402
import load_input  # noqa: E402
from build_emulator import LOCATION, NAME, emulator  # noqa: E402
from export_transports import COLUMNS, CONTENT, KEY, RUN, Crm  # noqa: E402
from load_bigquery import open_client  # noqa: E402

EMULATOR = ROOT / ".venv" / "emulator" / "bin" / "python"

# Answers come at once, but a busy machine may be slow to read them.
FAST = ("--pause", "0.02", "--timeout", "20", "--deadline", "30")
# Audiences are small here: one customer is many per cent.
FAST += ("--max-remove-pct", "100", "--max-add-pct", "9999")
# Where none comes, or never the right one.
SHORT = ("--timeout", "1", "--deadline", "1.5")
EXPORT = "clv_export.export_marketing_cloud__"
CANARY, CUSTOMER = "canary-value", "customer-canary-"
SECRET = "secret-canary-of-more-than-32-characters"


SAID = ("consents", "customer_status")
LOAD = (sys.executable, str(SCRIPTS / "load_input.py"), "--input")
PERSONS = ("jane@quillfeather.org", "+49 170 7654321", "Jané Quillfeather", SECRET)
# A cell of each type that is no text.
CELLS = dict.fromkeys(("timestamp", "date"), datetime.date(2024, 3, 31))
CELLS |= {"decimal(18, 4)": 7.5, "double": 0.5, "bigint": 3, "boolean": "false"}


def write_persons(folder, table):
    """An input as a spreadsheet, with each person in every column of text."""
    columns = {n: k for n, k in load_input.CONTRACT[table].items() if n != "currency"}
    rows = [
        [CELLS.get(kind, PERSONS[(number + place) % 4]) for place, kind in places]
        for number, places in enumerate([list(enumerate(columns.values()))] * 4)
    ]
    (folder / f"{table}.xlsx").write_bytes(sheet_of(rows, columns))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A real build of a few customers: tables and views of the export are its own.

    Four are called by a mail address, a number, a name and a secret, as are all things
    in the optional inputs, but what is said of consent.
    """
    days = pd.date_range("2024-01-01", "2024-06-30", freq="D")
    rows = [
        (
            dict(enumerate(PERSONS)).get(user, f"u{user}"),
            days[(user * 7 + visit * (user % 40 + 5)) % len(days)],
            10.0 + user,
        )
        for user in range(400)
        for visit in range(1 + user % 4)
    ]
    log = pd.DataFrame(rows, columns=["user_id", "ts", "amount"])
    build = Build(tmp_path_factory.mktemp("export"))
    source = build.folder / "input"
    source.mkdir()
    log.to_csv(source / "transactions.csv", index=False)
    for table in {*load_input.CONTRACT} - {"transactions", *SAID}:
        write_persons(source, table)
    chosen = {"clv_backtest_days": [], "clv_consent": "managed_at_destination"}
    build.said = build.call(*LOAD, str(source)) + build.call(
        *("dbt", "--no-use-colors", "--log-level-file", "debug", "build"),
        *("--select", "+models/export", "--exclude-resource-type=unit_test"),
        *("--exclude-resource-type=test", "--vars", json.dumps(chosen)),
    )
    build.views = views_of(build)
    # The delta reads otherwise where keys are the tenant's own.
    chosen["clv_export_key"] = "subscriber_key"
    build.build("--select", "export_marketing_cloud__delta", **chosen)
    build.own_views = views_of(build)
    return build


def opened(file):
    """A file that was built, by another's hand."""
    found = Warehouse(file)
    found.views = views_of(found)
    return found


def views_of(build):
    """The queries of the export's views, by name."""
    found = build.read(
        "select view_name, sql from duckdb_views() where schema_name = 'clv_export' "
        "and database_name = 'warehouse'"
    )
    # DuckDB prints cross joins as commas, which bind less than the joins after them.
    found["sql"] = found["sql"].str.replace(" , ", " cross join ")
    return dict(found.itertuples(index=False))


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


def empty(one):
    """Make a stand-in as new: its tables are there, and hold nothing."""
    one.requests.clear()
    one.faults.clear()
    one.jobs.clear()
    one.tokens.clear()
    one.queue.clear()
    one.lag, one.lifetime, one.page = (1, 1), 1079, 50
    one.row_faults, one.truncate_results, one.csv_charset = [], 0, False
    one.late, one.is_shuffled, one.search_lag, one.poison = (0, 0), False, 0, None
    one.extensions = {"clv_segments": DataExtension("clv_segments", sfmc_fields())}
    thing = CustomObject("Customer_Segment__c", crm_fields(), KEY.crm)
    one.objects = {thing.name: thing}


@pytest.fixture
def stand_in(stand_in_server, monkeypatch):
    """The stand-in, clean, and an environment that leads to it."""
    empty(stand_in_server)
    for name, value in stand_in_server.environment.items():
        monkeypatch.setenv(name, value)
    return stand_in_server


LOG, DAY = "0123abcd-log", "2024-06-30"
STATE = ("export_runs", "export_requests", "export_ledger", "run_results")
STATE += ("export_deletions",)
TABLES = ("audience", "candidates", "exclusions", "permissions", "consent_checks")
VIEWS = ("synced", "delta", "runs", "held", "open_requests", "checks")
UTC = "cast(now() at time zone 'UTC' as timestamp)"


def make_warehouse(database, built, has_own_keys=False):
    """Make a file with the export's tables, empty, and its views, as built.

    What is said of consent and of the audience are tables here, to be filled.

    Args:
        database: the file, named warehouse.duckdb as its views say.
        built: a build, of whose file it has the shapes.
        has_own_keys: whether keys are the tenant's own.
    """
    views = built.own_views if has_own_keys else built.views
    kind = "subscriber_key" if has_own_keys else "pseudonym"
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"attach '{built.database}' as built (read_only)")
        for name in (
            "clv_intermediate.int_identities__resolved",
            *(f"clv_state.{table}" for table in STATE),
            *(f"{EXPORT}{table}" for table in TABLES),
        ):
            schema = name.partition(".")[0]
            connection.execute(f"create schema if not exists {schema}")
            connection.execute(
                f"create table {name} as from built.{name} limit 0"
                if name != f"{EXPORT}audience"
                else f"create table {name} as select customer_id, subscriber_key, "
                "clv_segment, rfm_segment, segment_since, clv_365d, "
                "probability_purchase_90d_pct, offer_cap, campaigns, as_of_date, "
                f"row_hash, true as has_consent from built.{EXPORT}candidates limit 0"
            )
        connection.execute("detach built")
        for name in VIEWS:
            connection.execute(views[f"export_marketing_cloud__{name}"])
        connection.execute(
            f"insert into {EXPORT}exclusions by name select 'none' as exclusion_reason,"
            f" 0 as customers, date '{DAY}' as as_of_date, '{LOG}' as log_id, "
            f"'{kind}' as export_key, 48 as max_age_hours, {UTC} as built_at"
        )
        connection.execute(
            f"insert into {EXPORT}consent_checks by name select *, 'counted' as "
            "check_name, false as is_stopping, '' as sentence, 100 as consent_users, "
            "30 as refusing_users, 7 as suppressed_users, 5 as linked_users "
            "from (values ('sfmc'), ('crm'), ('files'), ('google_ads')) as t (target)"
        )


LEDGER_KEYS = {
    "delta": "target, coalesce(customer_key, concat('of ', customer_id))",
    "synced": "target, customer_key",
    "held": "target",
    "open_requests": "target, run_id, chunk",
    "checks": "target, check_name",
}


class World:
    """A warehouse, a destination and the script between them."""

    has_own_keys = False
    is_judged = False

    def __init__(self, folder, built, stand_in, monkeypatch, capsys):
        self.database = folder / "warehouse.duckdb"  # the name its views know
        self.stand_in, self.capsys, self.printed = stand_in, capsys, ""
        monkeypatch.setenv("CLV_DUCKDB_PATH", str(self.database))
        monkeypatch.setenv("CLV_EXPORT_SECRET", SECRET)
        self.files = folder / "export"
        monkeypatch.setenv("CLV_EXPORT_FOLDER", str(self.files))
        made = folder.parent / f"made_{self.has_own_keys}.duckdb"
        if not made.exists():  # once for every test of a session
            make_warehouse(self.database, built, self.has_own_keys)
            self.database.rename(made)
        shutil.copy(made, self.database)

    def sql(self, query):
        with duckdb.connect(str(self.database)) as connection:
            return connection.execute(query).fetchall()

    def audience(self, *customers, **changes):
        """Make these the audience; `changes` are columns that differ from the usual."""
        self.sql(
            f"delete from {EXPORT}audience; delete from {EXPORT}candidates; "
            f"insert into {EXPORT}candidates by name select '' as customer_id, "
            f"'suppressed' as exclusion_reason, '{DAY}' as as_of_date, "
            f"'{LOG}' as log_id"
        )
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
            "as_of_date": DAY,
            "has_consent": True,
        } | changes
        hashed = [str(row[column.name]) for column in CONTENT]
        return row | {"row_hash": hashlib.md5("|".join(hashed).encode()).hexdigest()}

    def add(self, row, customers):
        frame = pd.DataFrame(
            [
                {"subscriber_key": f"Sub'{customer} ", **row, "customer_id": customer}
                for customer in (f"{CUSTOMER}{each}" for each in customers)
            ]
        )
        if len(frame):
            with duckdb.connect(str(self.database)) as connection:
                connection.execute(
                    f"insert into {EXPORT}audience by name select * from frame"
                )
                connection.execute(
                    f"insert into {EXPORT}candidates by name select *, '{LOG}' as "
                    f"log_id from {EXPORT}audience where customer_id in (select "
                    "customer_id from frame)".replace(
                        "select *,", "select * exclude (has_consent),"
                    )
                )

    def key(self, customer):
        """The key that a customer should have at the destination."""
        text = f"{CUSTOMER}{customer}"
        if self.has_own_keys:
            return f"Sub'{text} "
        secret = os.environ["CLV_EXPORT_SECRET"].encode()
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()

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

    def start(self, *options, target="sfmc", host=()):
        """Start the script as a process of its own, on a host that is like this one."""
        return subprocess.Popen(
            [
                *(sys.executable, *host, str(SCRIPTS / "export_segments.py")),
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

    def runs_of(self, target="files"):
        """Manifests of a folder in the order of their runs, each with its rows."""
        for path in sorted((self.files / target).glob("run-*/manifest.json")):
            manifest, rows = json.loads(path.read_text()), []
            for told in manifest["files"]:
                file = path.with_name(told["name"])
                assert hashlib.sha256(file.read_bytes()).hexdigest() == told["sha256"]
                if file.suffix == ".csv":
                    text = dict.fromkeys(manifest["columns"], str)
                    found = pd.read_csv(file, dtype=text, keep_default_na=False)
                else:
                    found = pd.read_parquet(file)
                assert [*found.columns] == manifest["columns"]
                assert len(found) == told["rows"]
                found["file"] = file.stem
                rows += found.to_dict("records")
            yield manifest, rows

    def destination(self, target="sfmc"):
        """Rows there, by key, with the columns named as in the warehouse."""
        if target == "files":
            held = {}
            for manifest, rows in self.runs_of():
                held = {} if manifest["is_whole_audience"] else held
                for row in rows:
                    row = {c.name: typed(c, row[c.name]) for c in COLUMNS}
                    held[row[KEY.name]] = row
            return held
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

    def assert_everything_is_said_once(self):
        """No view on the ledger has a key twice: builds of production do not ask."""
        twice = " union all ".join(
            f"(select '{view}' from {EXPORT}{view} group by {key} having count(*) > 1)"
            for view, key in LEDGER_KEYS.items()
        )
        assert self.sql(twice) == []

    def is_in_step(self, target="sfmc"):
        """Whether the active rows there are the audience and all others are blank."""
        if not self.is_judged:  # once a test: five views over the ledger
            self.assert_everything_is_said_once()
            self.is_judged = True
        names = [*(column.name for column in CONTENT), "as_of_date"]
        rows = self.sql(f"select customer_id, {', '.join(names)} from {EXPORT}audience")
        wanted = {}
        for row in rows:
            key = self.key(row[0].removeprefix(CUSTOMER))
            key = key.lower() if target == "sfmc" and self.has_own_keys else key
            wanted[key] = dict(zip(names, row[1:], strict=True))
        there = self.destination(target)
        if target == "sfmc" and self.has_own_keys:
            there = {key.lower(): row for key, row in there.items()}
        for row in there.values():
            del row[KEY.name], row[RUN.name]
        active = {k: dict(row) for k, row in there.items() if row.pop("is_active")}
        blank = {"probability_purchase_90d_pct": 0, "offer_cap": 0}
        for key, row in there.items():
            if key not in active:
                row = {n: v for n, v in row.items() if n != "is_active"}
                row.pop("as_of_date")
                assert row == dict.fromkeys(row, "") | blank
        return active == wanted

    def time_passes(self):
        """Let hours go by for what is recorded."""
        for table in ("runs", "requests", "ledger"):
            name = f"clv_state.export_{table}"
            self.sql(f"update {name} set recorded_at = recorded_at - interval 3 hour")

    def synced(self):
        return self.sql("select count(*) from clv_state.export_ledger where is_synced")[
            0
        ][0]


def typed(column, text):
    if column.kind == "Boolean":
        return text is True or text == "true"
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
    keys = one.sql("select customer_key from clv_state.export_ledger limit 1")
    for canary in (
        CLIENT_SECRET,
        CLIENT_ID,
        SECRET,
        "token-canary",
        CANARY,
        CUSTOMER,
        *(key for (key,) in keys),
    ):
        assert canary not in one.printed + ledger + runs
    for request in stand_in.requests:
        if not request.path.endswith("/token"):
            assert CLIENT_SECRET.encode() not in request.body
        assert SECRET.encode() not in request.body
        assert CUSTOMER.encode() not in request.body or one.has_own_keys


@pytest.fixture(params=["sfmc", "crm"])
def target(request):
    return request.param


def test_the_destination_becomes_the_audience_and_a_rerun_ships_nothing(world, target):
    world.audience(*range(25))
    assert world.run(target=target) == 0
    assert world.is_in_step(target)
    assert (world.report["synced_rows"], world.report["requests"]) == (25, 3)
    world.stand_in.requests.clear()
    assert world.run(target=target) == 0
    assert not any(r.is_write for r in world.stand_in.requests)
    events = world.sql(
        "select event, exit_code, synced_rows from clv_state.export_runs"
    )
    assert events == [("started", None, None), ("ended", 0, 25)]


def test_changes_leavers_and_returners_are_synced_and_nobody_else(world, target):
    world.audience(*range(5))
    assert world.run(target=target) == 0
    world.audience(1, 2)
    world.audience(*range(4), clv_segment="At Risk")
    assert world.run(target=target) == 0
    assert world.is_in_step(target)
    assert (world.report["synced_rows"], world.report["removed_rows"]) == (4, 1)
    world.audience(*range(5), clv_segment="At Risk")
    assert world.run(target=target) == 0
    assert world.is_in_step(target)
    assert world.report["synced_rows"] == 1


@pytest.mark.parametrize(
    "secret",
    [
        *("a" * 40, "password" * 5, "changeme" * 4 + "1"),
        *("of 31 characters, one too few..", ""),
    ],
)
def test_a_weak_secret_makes_no_keys(world, monkeypatch, secret):
    world.audience(*range(5))
    monkeypatch.setenv("CLV_EXPORT_SECRET", secret)
    assert world.run("--dry-run") == (2 if secret else 0)
    assert world.run() == 2
    assert "CLV_EXPORT_SECRET" in world.out
    assert world.stand_in.requests == []
    assert world.sql("from clv_state.export_runs") == []


@pytest.mark.skipif(not EMULATOR.exists(), reason="the emulator is not installed")
def test_a_delta_in_bigquery_is_synced_and_recorded_there(world, target, tmp_path):
    world.audience(*range(25))
    with emulator(EMULATOR, tmp_path, tmp_path / "emulator.log") as (_, endpoint):
        client = open_client(NAME, LOCATION, endpoint)
        with duckdb.connect(str(world.database), read_only=True) as connection:
            for name in (
                *(f"{EXPORT}{n}" for n in ("audience", "candidates", "exclusions")),
                *(f"{EXPORT}{n}" for n in VIEWS),
                *(f"clv_state.export_{n}" for n in ("runs", "requests", "ledger")),
                "clv_state.export_deletions",
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
        events = client.query(f"select event, synced_rows from {state}runs")
        assert {tuple(row) for row in events} == {("started", None), ("ended", 25)}
        ledger = client.query(
            f"select is_synced, count(distinct customer_key) from {state}ledger "
            "group by 1"
        )
        assert {tuple(row) for row in ledger} == {(False, 25), (True, 25)}


def test_another_shop_and_an_earlier_day_are_synced_only_when_asked(world, target):
    exclusions = f"{EXPORT}exclusions"
    world.audience(*range(25))
    assert world.run(target=target) == 0
    log_id, day = world.sql(f"select log_id, as_of_date from {exclusions}")[0]
    assert world.sql(
        "select log_id, as_of_date from clv_state.export_runs where event = 'started'"
    ) == [(log_id, day)]
    assert world.sql("select distinct log_id from clv_state.export_ledger") == [
        (log_id,)
    ]
    for change, sentence in (
        (f"as_of_date = date '{day}' - 1", f"before the one synced last, as of {day}"),
        ("log_id = 'another1'", f"holds one of log {log_id}, another shop"),
    ):
        world.audience(*range(1, 26))
        world.sql(f"update {exclusions} set {change}")
        if "log_id" in change:
            world.sql(f"update {EXPORT}candidates set {change}")
        asked = len(world.stand_in.requests)
        assert world.run("--dry-run", target=target) == 5
        assert world.run(target=target) == 5
        assert sentence in world.out
        assert "--accept-audience" in world.out
        assert len(world.stand_in.requests) == asked
        if "log_id" in change:
            # What the other shop's ledger knows is not this one's.
            assert world.run("--accept-audience", target=target) == 5
            assert "--reconcile" in world.out
            assert world.run("--accept-audience", "--reconcile", target=target) == 0
            assert world.is_in_step(target)
            return
        assert world.run("--reconcile", target=target) == 5
        assert world.run("--accept-audience", target=target) == 0
        # What was synced last is what is there now.
        world.audience(*range(2, 26))
        assert world.run(target=target) == 0
        world.sql(f"update {exclusions} set as_of_date = '{day}', log_id = '{log_id}'")


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
    world.stand_in.lifetime = 1
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
    "a body refused": (ASYNC, 400, {"errorcode": 10003, "message": CANARY}, {}, 5),
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
    assert world.synced() == 0
    assert "canary" not in world.out
    world.stand_in.faults.clear()
    world.time_passes()
    assert world.run() == 0
    assert world.is_in_step()


def test_an_outage_in_the_middle_keeps_what_was_confirmed(world):
    world.audience(*range(25))
    world.stand_in.fault(ASYNC, 500, "", times=99, skip=1)
    assert world.run("--deadline", "3") == 4
    assert world.synced() == 10
    world.stand_in.faults.clear()
    world.time_passes()
    assert world.run() == 0
    assert world.report["synced_rows"] == 15
    assert world.is_in_step()


def test_pending_for_ever_ends_with_nothing_recorded(world):
    world.audience(*range(3))
    world.stand_in.lag = (0, 10_000)
    assert world.run(*SHORT) == 4
    assert world.synced() == 0
    world.stand_in.lag = (0, 0)
    # As long as it may be worked off, the same keys are not sent again.
    assert world.run(*SHORT) == 4
    assert "is not over" in world.out
    assert len([r for r in world.stand_in.requests if r.method == "PUT"]) == 1
    for job in world.stand_in.jobs.values():
        job["lag"] = [0, 0]
    assert world.run() == 0
    assert world.is_in_step()


def test_too_few_results_prove_nothing(world):
    world.audience(*range(3))
    world.stand_in.truncate_results = 1
    assert world.run(*SHORT) == 4
    assert world.synced() == 0
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
    world.stand_in.is_shuffled = True
    for _ in range(3):
        assert world.run(target=target) == 1
        assert world.report["rejected_rows"] == 1
    ((code,),) = world.sql(
        "select distinct code from clv_state.export_ledger "
        "where not is_synced and not is_transient"
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
        world.stand_in.search_lag = 0.5
        assert world.run("--check") == 2
        assert world.run("--check", "--create") == 0
        assert not world.stand_in.extensions["clv_segments"].is_sendable
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
    assert world.synced() == 0
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


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_after_kills_the_rerun_puts_it_right(tmp_path, built, target, monkeypatch):
    """A sample of what attack_export.py does for as long as one likes."""
    from attack_export import attack

    attack(tmp_path, built, target, 2, seed=3, setenv=monkeypatch.setenv)


def test_interrupted_the_chunk_is_finished_and_a_rerun_does_the_rest(world, tmp_path):
    world.audience(*range(25_000))
    world.stand_in.fault(ASYNC, delay=0.7, times=9)
    process = world.start()
    wait_until(lambda: any(r.method == "PUT" for r in world.stand_in.requests))
    process.send_signal(signal.SIGINT)
    assert world.finish(process) == 130
    assert 0 < world.synced() < 25_000
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
    "insert into clv_state.export_runs (run_id, run_number, target, event, "
    "recorded_at) values ('other', {}, 'sfmc', 'started', {})"
)


@pytest.fixture
def shared(world, monkeypatch):
    def use(kind=Shared):
        monkeypatch.setattr(export_segments, "DuckDb", kind)

    use()
    return use


@pytest.mark.parametrize(
    ("opened", "code"),
    [
        ([OPEN.format(4, UTC)], 6),
        ([OPEN.format(4, f"{UTC} - interval 6 minute")], 0),
        (
            [
                OPEN.format(4, f"{UTC} - interval 2 hour"),
                OPEN.format(4, UTC).replace("'started'", "'renewed'"),
            ],
            6,
        ),
        ([OPEN.format(4, UTC).replace("'sfmc'", "'crm'")], 0),
        ([OPEN.format(4, UTC), OPEN.format(4, UTC).replace("'started'", "'ended'")], 0),
    ],
)
def test_an_open_run_counts_while_its_lease_holds(world, shared, opened, code):
    world.audience(1)
    for statement in opened:
        world.sql(statement)
    assert world.run() == code
    assert bool(world.destination()) is (code == 0)
    if code:
        assert world.run("--break-lock") == 0
        assert "run other" in world.out
        assert world.destination()


def test_two_runs_that_start_at_once_both_give_way(world, shared):
    class Raced(Shared):
        def append(self, table, columns):
            super().append(table, columns)
            if columns.get("event") == "started":
                self.connection.execute(OPEN.format(99, UTC))

    shared(Raced)
    world.audience(1)
    assert world.run() == 6
    assert world.destination() == {}


def test_a_run_renews_its_lease_and_stops_when_it_was_taken_over(
    world, shared, monkeypatch
):
    monkeypatch.setattr(export_segments, "RENEWAL", 0)
    world.audience(*range(25))
    assert world.run("--limit", "10") == 0
    renewed = world.sql(
        "select count(*) from clv_state.export_runs where event = 'renewed'"
    )
    assert renewed > [(1,)]

    class Overtaken(Shared):
        def append(self, table, columns):
            super().append(table, columns)
            if "ok" in columns.get("code", ()):
                self.connection.execute(OPEN.format(99, UTC))

    shared(Overtaken)
    assert world.run("--full") == 6
    assert len(world.destination()) == 10
    shared()
    assert world.run() == 6
    world.time_passes()
    assert world.run() == 0
    assert world.is_in_step()


def test_a_ledger_that_cannot_be_written_ends_the_run(world, monkeypatch):
    world.audience(*range(5))
    append = export_warehouse.DuckDb.append

    def failing(self, table, columns):
        if "ok" in columns.get("code", ()):
            raise duckdb.IOException(CANARY)
        append(self, table, columns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_warehouse.DuckDb, "append", failing)
        assert world.run() == 4
    assert len(world.destination()) == 5
    assert world.run() == 0
    assert world.is_in_step()


def test_no_clock_of_a_host_orders_anything():
    for name in ("export_segments.py", "export_warehouse.py"):
        text = (SCRIPTS / name).read_text()
        for clock in ("time.time(", "datetime.now(", "utcnow(", "today("):
            assert clock not in text


# -- Guards


@pytest.mark.parametrize(
    ("before", "after", "option"),
    [
        (60, range(30), "--max-remove-pct"),
        (4, [], "--max-remove-pct"),
        (20, range(25), "--max-add-pct"),
    ],
)
def test_a_mass_removal_or_addition_needs_a_word(world, before, after, option):
    world.audience(*range(before))
    assert world.run("--max-add-pct", "20") == 0
    world.audience(*after)
    requests = len(world.stand_in.requests)
    limit = (option, "20")
    assert world.run("--dry-run", *limit) == 5
    assert world.run(*limit) == 5
    assert option in world.out
    assert len(world.stand_in.requests) == requests
    assert world.run(option, "100") == 0
    assert world.is_in_step()


def test_an_old_audience_is_not_synced_unasked(world):
    world.audience(1)
    for built_at in (f"{UTC} - interval 49 hour", "null"):
        world.sql(f"update {EXPORT}exclusions set built_at = {built_at}")
        assert world.run() == 5
        assert world.stand_in.requests == []
    assert world.run("--accept-audience") == 0


@pytest.mark.parametrize(
    "check", ["consents_are_lost", "links_are_lost", "channel_is_unknown"]
)
def test_consents_that_are_lost_or_unclear_stop_the_run(world, check):
    world.audience(1)
    checks = f"{EXPORT}consent_checks"
    world.sql(
        f"insert into {checks} values "
        f"('sfmc', '{check}', true, null, 'why', 100, 30, 7, 5)"
    )
    assert world.run() == 5
    assert "why" in world.out
    assert world.stand_in.requests == []
    assert world.run("--accept-consents") == (0 if "lost" in check else 5)
    assert world.run(target="crm") == 0
    counted = world.sql(
        "select consent_users, refusing_users, suppressed_users, linked_users "
        "from clv_state.export_runs "
        "where event = 'started' and target = 'crm'"
    )
    assert counted == [(100, 30, 7, 5)]


def test_a_grant_of_the_future_stops_the_run_until_its_day(world):
    world.audience(1)
    world.sql(
        f"insert into {EXPORT}consent_checks values ('sfmc', 'grants_are_of_the_future'"
        f", false, {UTC} + interval 1 hour, 'why', 100, 30, 7, 5)"
    )
    assert world.run() == 5
    assert "why (--accept-consents)" in world.out
    world.sql(
        f"update {EXPORT}consent_checks set stops_until = {UTC} - interval 1 second "
        "where stops_until is not null"
    )
    assert world.run() == 0


def test_withdrawals_leave_whatever_guards_say(world, target, monkeypatch):
    world.audience(*range(10))
    assert world.run(target=target) == 0
    world.audience(*range(2, 10))
    monkeypatch.delenv("CLV_EXPORT_SECRET")
    world.sql(f"insert into {EXPORT}permissions values ('{CUSTOMER}0', true, false)")
    world.sql(f"update {EXPORT}exclusions set built_at = null, as_of_date = null")
    world.sql(
        f"update {EXPORT}consent_checks set is_stopping = true, sentence = 'why', "
        "check_name = 'channel_is_unknown'"
    )
    assert world.run("--withdrawals", "--max-remove-pct", "0", target=target) == 5
    assert world.report["removed_rows"] == 1
    assert "why" in world.out
    active = [r for r in world.destination(target).values() if r["is_active"]]
    assert len(active) == 9
    world.sql(f"update {EXPORT}consent_checks set is_stopping = false")
    assert world.run("--withdrawals", target=target) == 0


def test_withdrawals_say_that_the_ledger_may_not_know_everybody(world, target):
    world.audience(*range(10))
    assert world.run(target=target) == 0
    world.sql(f"delete from clv_state.export_ledger where customer_id = '{CUSTOMER}0'")
    world.sql(f"insert into {EXPORT}permissions values ('{CUSTOMER}0', true, false)")
    assert world.run("--withdrawals", target=target) == 5
    assert "--reconcile" in world.out


def test_withdrawals_leave_where_nothing_can_be_read_back(world, target):
    world.audience(*range(10))
    assert world.run(target=target) == 0
    world.sql(f"insert into {EXPORT}permissions values ('{CUSTOMER}0', true, false)")
    world.audience(*range(1, 10))
    world.stand_in.fault("orderBy|MAX", 400, {"errorcode": 10003}, times=2)
    assert world.run("--withdrawals", target=target) == 5
    assert world.report["removed_rows"] == 1
    assert world.run(target=target) == 4
    assert world.run(target=target) == 0
    assert world.is_in_step(target)


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
    query = sql.partition(" AS ")[2].rstrip(";").replace(" , ", " cross join ")
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


def test_a_user_is_claimed_with_a_key(world, monkeypatch, tmp_path):
    file = tmp_path / "key.pem"
    monkeypatch.delenv("SF_CONSUMER_SECRET")
    monkeypatch.setenv("SF_USERNAME", "user@example.com")
    monkeypatch.setenv("SF_PRIVATE_KEY_FILE", str(file))
    world.audience(1)
    assert world.run(target="crm") == 2
    file.write_text("no key")
    assert world.run(target="crm") == 2
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(key.private_bytes(*form))
    assert world.run(target="crm") == 0
    assert world.is_in_step("crm")


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
        raise RuntimeError(CANARY)

    monkeypatch.setattr(export_transports.MarketingCloud, "outcome", fail)
    world.audience(*range(3))
    world.stand_in.row_faults = [[".", "Rerun the transaction.", 1]]
    assert world.run() == 70
    assert "RuntimeError" in world.out
    monkeypatch.undo()


def test_limit_and_full(world):
    world.audience(*range(25))
    assert world.run("--limit", "7") == 0
    assert len(world.destination()) == 7
    assert world.run() == 0
    for row in world.stand_in.extensions["clv_segments"].rows.values():
        row["clvsegment"] = "by hand"
    assert world.run() == 0
    assert not world.is_in_step()
    assert world.run("--full") == 0
    assert world.is_in_step()


# -- What the destination holds


def forget(world):
    for table in ("runs", "requests", "ledger"):
        world.sql(f"delete from clv_state.export_{table}")


def rows_of(world, target):
    if target == "sfmc":
        return world.stand_in.extensions["clv_segments"].rows
    return world.stand_in.objects["Customer_Segment__c"].rows


def test_state_that_is_lost_is_read_back(world, target):
    world.audience(*range(25))
    assert world.run(target=target) == 0
    forget(world)
    world.audience(*range(3, 27))
    assert world.run(target=target) == 5
    assert "--reconcile" in world.out
    assert world.run("--reconcile", target=target) == 0
    assert world.is_in_step(target)
    # The same values were not sent again.
    assert (world.report["synced_rows"], world.report["removed_rows"]) == (2, 3)
    assert world.report["found"] == 25
    assert world.run("--reconcile", target=target) == 0
    assert (world.report["found"], world.report["requests"]) == (0, 0)


def test_what_others_did_at_the_destination_is_mended(world, target):
    world.audience(*range(25))
    assert world.run(target=target) == 0
    rows = rows_of(world, target)
    keys = list(rows)
    del rows[keys[0]]
    column = "clvsegment" if target == "sfmc" else "Clv_Segment__c"
    rows[keys[1]][column] = "by hand"
    stranger = dict(rows[keys[2]])
    name = "customerkey" if target == "sfmc" else KEY.crm
    stranger[name] = "stranger"
    rows[("stranger",) if target == "sfmc" else "stranger"] = stranger
    assert world.run("--reconcile", target=target) == 0
    assert world.is_in_step(target)
    assert world.report["found"] == 3
    assert world.run(target=target) == 0
    assert world.report["requests"] == 0


def test_an_old_copy_of_the_state_is_noticed(world, tmp_path):
    world.audience(*range(10))
    assert world.run() == 0
    copy = world.database.read_bytes()
    world.audience(*range(2, 12))
    assert world.run() == 0
    world.database.write_bytes(copy)
    world.audience(*range(2, 13))
    assert world.run() == 5
    assert world.run("--reconcile") == 0
    assert world.is_in_step()


def test_an_old_copy_of_as_many_rows_of_the_same_day_is_noticed(world, target):
    def sync(segment, *options):
        world.audience(*range(10), clv_segment=segment)
        return world.run(*options, target=target)

    assert sync("Loyal") == 0
    copy = world.database.read_bytes()
    assert sync("Champion") == 0
    for segment in ("Loyal", "Champion", "At Risk"):
        world.database.write_bytes(copy)
        # To the copy, all is as it was; and then something has changed.
        assert sync(segment) == 5
        assert "--reconcile" in world.out
    assert sync("At Risk", "--reconcile") == 0
    assert world.is_in_step(target)
    # What was found is known, and of an earlier run.
    assert sync("Loyal") == 0
    assert world.is_in_step(target)


def test_withdrawals_by_an_old_copy_leave_no_mark_of_their_own(world, target):
    world.audience(*range(10))
    assert world.run(target=target) == 0
    copy = world.database.read_bytes()
    world.audience(*range(10), clv_segment="Champion")
    assert world.run(target=target) == 0
    world.database.write_bytes(copy)
    # Runs that the copy knows are as many as those that it lacks.
    world.sql(f"insert into {EXPORT}permissions values ('{CUSTOMER}0', true, false)")
    world.audience(*range(1, 10))
    assert world.run("--withdrawals", target=target) == 5
    assert world.report["removed_rows"] == 1
    assert world.run(target=target) == 5
    assert world.run("--reconcile", target=target) == 0
    assert world.is_in_step(target)


def test_a_job_whose_answers_were_lost_is_stopped_before_the_next(world):
    world.audience(*range(5))
    world.stand_in.late = (0.5, 1)
    world.stand_in.fault("PATCH .*ingest", drop="after", times=5)
    assert world.run(target="crm") == 0
    states = [job["state"] for job in world.stand_in.jobs.values() if "data" in job]
    assert states == ["Aborted", "JobComplete"]
    assert world.is_in_step("crm")


def test_a_late_job_does_not_undo_a_removal(world, target):
    world.audience(*range(5))
    world.stand_in.late = (4, 4)
    assert world.run(*SHORT, target=target) == 4
    world.audience(*range(1, 5))
    world.stand_in.late = (0, 0)
    assert world.run(target=target) == 0
    time.sleep(0.1)
    assert not world.stand_in.queue or target == "crm"
    assert world.is_in_step(target)
    if target == "crm":
        wait_until(lambda: not world.stand_in.queue)
        assert world.is_in_step(target)


def test_a_request_whose_answer_was_lost_is_waited_for(world, monkeypatch):
    world.audience(*range(5))
    # The one whose answer is lost comes last.
    delays = iter((3, 0.1))
    monkeypatch.setattr("salesforce_stand_in.random.uniform", lambda *_: next(delays))
    world.stand_in.late = (0.1, 3)
    world.stand_in.fault(ASYNC, drop="after")
    assert world.run("--deadline", "5") == 0
    world.stand_in.late = (0, 0)
    world.audience(*range(1, 5))
    # By another host, whose clock is an hour ahead.
    ahead = UTC.replace("now()", "(now() + interval 1 hour)")
    monkeypatch.setattr(export_warehouse.DuckDb, "now", ahead)
    assert world.run("--deadline", "5") == 0
    assert world.is_in_step()
    wait_until(lambda: not world.stand_in.queue)
    assert world.is_in_step()


def test_rows_that_are_to_be_erased_are_deleted(world, target):
    world.audience(*range(5))
    assert world.run(target=target) == 0
    keys = [world.key(each) for each in (1, 3)]
    world.sql(
        "insert into clv_state.export_deletions by name select * from (values "
        + ", ".join(
            f"('{each}', '{key}', 'e1', '{LOG}', {UTC})"
            for key in (*keys, "never there")
            for each in ("sfmc", "crm")
        )
        + ") as t (target, customer_key, erasure_id, log_id, recorded_at)"
    )
    deletes = r"Service.asmx|POST .*jobs/ingest"
    world.stand_in.fault(deletes, 200, "<none/>" if target == "sfmc" else [])
    assert world.run("--erase", target=target) == 4
    assert len(world.destination(target)) == 5
    assert world.run("--erase", target=target) == 0
    assert len(world.destination(target)) == 3
    assert not set(keys) & set(world.destination(target))
    left = world.sql("select distinct target from clv_state.export_deletions")
    assert left == [("crm" if target == "sfmc" else "sfmc",)]


# -- Files


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_are_of_what_changes_and_one_run_makes_one_folder(
    world, monkeypatch, kind
):
    monkeypatch.setenv("CLV_EXPORT_FORMAT", kind)
    monkeypatch.setattr(export_files.Files, "max_rows", 10)
    world.audience(*range(25), clv_segment='"a, b"\né漢')
    assert world.run(target="files") == 0
    assert world.is_in_step("files")
    assert world.run(target="files") == 0
    assert world.report["requests"] == 0
    world.audience(*range(1, 25), clv_segment='"a, b"\né漢')
    world.audience(*range(1, 26))
    assert world.run(target="files") == 0
    assert world.is_in_step("files")
    first, second = world.runs_of()
    assert [len(rows) for _, rows in (first, second)] == [25, 26]
    assert (first[0]["run_number"], second[0]["run_number"]) == (1, 2)
    assert (second[0]["mode"], second[0]["as_of_date"]) == ("delta", DAY)
    # The one who left comes first, and is named by the same key as elsewhere.
    assert second[1][0][KEY.name] == world.key(0)
    assert not world.destination("files")[world.key(0)]["is_active"]
    assert world.run("--full", target="files") == 0
    assert world.is_in_step("files")
    *_, (manifest, rows) = world.runs_of()
    assert (manifest["is_whole_audience"], len(rows)) == (True, 25)
    assert world.run("--full", "--limit", "5", target="files") == 0
    *_, (manifest, _) = world.runs_of()
    assert not manifest["is_whole_audience"]


def test_each_destination_has_a_ledger_of_its_own(world):
    world.audience(*range(5))
    for target in ("files", "google_ads", "sfmc"):
        assert world.run(target=target) == 0
        assert world.report["synced_rows"] == 5
    assert world.is_in_step("sfmc")
    assert world.is_in_step("files")


def test_lists_of_customer_match_add_with_a_value_and_remove(world):
    world.audience(1, 2, clv_365d="100-250")
    assert world.run(target="google_ads") == 0
    world.audience(2, clv_365d="1000+")
    world.add(world.row(clv_365d="37"), [3])
    assert world.run(target="google_ads") == 0
    lists = [
        [(row["file"], row["User ID"], row["clv"]) for row in rows]
        for _, rows in world.runs_of("google_ads")
    ]
    assert sorted(lists[0]) == sorted(("add", world.key(n), "100") for n in (1, 2))
    added = [("add", world.key(2), "1000"), ("add", world.key(3), "37")]
    assert sorted(lists[1]) == sorted([*added, ("remove", world.key(1), "")])


def test_who_withdraws_is_in_no_file_but_as_removed(world):
    world.audience(*range(5))
    assert world.run(target="files") == 0
    world.audience(*range(1, 5), has_consent=False)
    world.add(world.row(has_consent=False), [9])
    assert world.run("--full", target="files") == 2
    assert len([*world.runs_of()]) == 1
    world.sql(f"insert into {EXPORT}permissions values ('{CUSTOMER}0', true, false)")
    assert world.run("--withdrawals", target="files") == 0
    *_, (manifest, (row,)) = world.runs_of()
    assert manifest["mode"] == "withdrawals"
    assert (row[KEY.name], row["is_active"]) == (world.key(0), "false")
    for canary in (CUSTOMER, SECRET):
        for file in world.files.rglob("*.*"):
            assert canary not in file.read_text()


def test_guards_hold_for_files_too(world):
    world.audience(*range(60))
    assert world.run(target="files") == 0
    world.audience(*range(30))
    assert world.run("--max-remove-pct", "20", target="files") == 5
    checks = f"{EXPORT}consent_checks"
    world.sql(f"update {checks} set is_stopping = true where target = 'files'")
    assert world.run(target="files") == 5
    assert len([*world.runs_of()]) == 1


def test_a_run_of_files_that_dies_shows_nothing_or_all(world, monkeypatch):
    world.audience(*range(25))

    def die(*_):
        raise KeyboardInterrupt

    # Before they are shown: nobody sees them, and nothing is recorded.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_files.Files, "seal", die)
        assert world.run(target="files") == 130
    assert [*world.runs_of()] == []
    assert world.synced() == 0
    # Between that and the ledger: they are there, and come once more.
    append = export_warehouse.DuckDb.append

    def failing(self, table, columns):
        if columns.get("code") == "ok":
            raise duckdb.IOException(CANARY)
        append(self, table, columns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_warehouse.DuckDb, "append", failing)
        assert world.run(target="files") == 4
    assert world.is_in_step("files")
    assert world.synced() == 0
    world.audience(*range(1, 26))
    assert world.run(target="files") == 0
    assert world.is_in_step("files")
    assert {p.name for p in (world.files / "files").iterdir()} == {
        "run-000002",
        "run-000003",
    }
    assert world.run(target="files") == 0
    assert world.report["requests"] == 0


def test_an_old_ledger_of_files_needs_the_whole_audience(world, monkeypatch):
    world.audience(*range(10))
    assert world.run(target="files") == 0
    forget(world)
    world.audience(*range(2, 12))
    assert world.run(target="files") == 5
    assert "--full" in world.out
    assert world.run("--reconcile", target="files") == 2
    assert world.run("--full", target="files") == 0
    assert world.is_in_step("files")
    assert world.run(target="files") == 0
    # A copy of before the secret was changed.
    copy = world.database.read_bytes()
    monkeypatch.setenv("CLV_EXPORT_SECRET", SECRET[::-1])
    assert world.run("--rotate-key", target="files") == 0
    assert world.is_in_step("files")
    world.database.write_bytes(copy)
    assert world.run("--full", target="files") == 2
    assert world.run("--rotate-key", target="files") == 0
    assert world.is_in_step("files")
    assert world.run(target="files") == 0


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_who_is_erased_is_taken_out_of_files(world, monkeypatch, kind):
    monkeypatch.setenv("CLV_EXPORT_FORMAT", kind)
    world.audience(*range(5))
    assert world.run(target="files") == 0
    world.sql(
        "insert into clv_state.export_deletions by name select 'files' as target, "
        f"'{world.key(3)}' as customer_key, 'e1' as erasure_id, '{LOG}' as log_id, "
        f"{UTC} as recorded_at"
    )
    assert world.run("--erase", target="files") == 0
    (_, kept), (manifest, (row,)) = world.runs_of()
    assert [r[KEY.name] for r in kept] == [world.key(n) for n in (0, 1, 2, 4)]
    assert (manifest["mode"], row[KEY.name]) == ("erase", world.key(3))
    assert world.sql("from clv_state.export_deletions") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLV_EXPORT_FOLDER", ""),
        ("CLV_EXPORT_FOLDER", "/proc/x"),
        ("CLV_EXPORT_FORMAT", "xls"),
    ],
)
def test_files_need_a_folder_and_a_format(world, monkeypatch, name, value):
    world.audience(1)
    monkeypatch.setenv(name, value)
    assert world.run(target="files") == 2
    assert name in world.out


# -- Answers


def test_results_in_any_order_are_read_back(world):
    world.audience(*range(5))
    for name in ("long", "longer"):
        world.add(world.row(rfm_segment="x" * 51), [name])
    world.stand_in.is_shuffled = True
    assert world.run() == 1
    assert (world.report["synced_rows"], world.report["rejected_rows"]) == (5, 2)
    refused = world.sql(
        "select distinct customer_id from clv_state.export_ledger "
        "where not is_synced and not is_transient order by 1"
    )
    assert refused == [(f"{CUSTOMER}long",), (f"{CUSTOMER}longer",)]
    world.audience(*range(5))
    assert world.run() == 0
    assert world.is_in_step()


def test_a_request_refused_whole_is_split_down_to_the_bad_row(world):
    world.audience(*range(7))
    world.add(world.row(rfm_segment="poison"), ["bad"])
    answer = {"message": CANARY, "errorcode": 10005}
    world.stand_in.poison = ("poison", Answer(400, answer))
    assert world.run() == 1
    assert (world.report["synced_rows"], world.report["rejected_rows"]) == (7, 1)
    assert world.report["codes"] == {"10005": 1}
    world.audience(*range(7))
    assert world.run() == 0
    assert world.is_in_step()


UNKNOWN = {
    "an item without a code": (
        "/results",
        200,
        {"items": [{"status": "Error"}] * 3, "count": 3},
        5,
    ),
    "items that are none": ("/results", 200, {"items": ["a", 0, 3], "count": 3}, 4),
    "results that nobody counts": ("/results", 200, {"items": [{}] * 3}, 4),
    "a status in a list": ("/status", 200, [{"status": []}], 4),
    "a token error in a list": ("/v2/token", 400, [{"error": "invalid_client"}], 3),
    "a refusal without a code": (ASYNC, 403, {"message": CANARY}, 3),
    "a refusal in HTML": (ASYNC, 403, f"<html>{CANARY}", 3),
    "no count of rows": ("rowset", 200, {"items": None}, 4),
}


@pytest.mark.parametrize("answer", UNKNOWN)
def test_an_answer_of_unknown_shape_is_told_in_a_code(world, answer):
    match, status, body, code = UNKNOWN[answer]
    world.audience(*range(3))
    world.stand_in.row_faults = [[".", "Some text", 9]]
    world.stand_in.fault(match, status, body, times=999)
    assert world.run(*SHORT) == code
    assert "failed with" not in world.out
    world.stand_in.faults.clear()
    world.stand_in.row_faults = []
    world.time_passes()
    assert world.run() == 0
    assert world.is_in_step()


@pytest.mark.parametrize("lifetime", [None, "1079"])
def test_a_token_without_a_lifetime_is_used(world, lifetime):
    world.audience(1)
    world.stand_in.lifetime_told = lifetime
    try:
        assert world.run() == 0
    finally:
        del world.stand_in.lifetime_told


def test_no_call_follows_a_redirect(world, target):
    world.audience(1)
    token = "/v2/token" if target == "sfmc" else "oauth2/token"
    where = {"headers": {"Location": "https://x.rest.marketingcloudapis.com/stolen"}}
    world.stand_in.fault(token, 307, "", **where)
    assert world.run(target=target) in (3, 4)
    world.stand_in.fault("rowset|/query", 302, "", **where)
    assert world.run(target=target) == 4
    assert not any("stolen" in request.path for request in world.stand_in.requests)


# -- Keys


def test_another_secret_moves_everybody_and_nobody_twice(world, target, monkeypatch):
    world.audience(*range(25))
    assert world.run(target=target) == 0
    world.audience(*range(1, 25), clv_segment="At Risk")
    monkeypatch.setenv("CLV_EXPORT_SECRET", SECRET[::-1])
    assert world.run(target=target) == 2
    assert "--rotate-key" in world.out
    assert world.run("--rotate-key", "--limit", "30", target=target) == 0
    active = [r for r in world.destination(target).values() if r["is_active"]]
    assert len(active) <= 24
    assert world.run("--rotate-key", target=target) == 0
    assert world.is_in_step(target)
    assert world.run(target=target) == 0
    assert world.report["requests"] == 0
    monkeypatch.setenv("CLV_EXPORT_SECRET", SECRET)
    assert world.run("--rotate-key", target=target) == 0
    assert world.is_in_step(target)
    assert world.run(target=target) == 0


def test_an_upsert_waits_until_the_old_key_is_gone(world, monkeypatch):
    world.audience(*range(4))
    assert world.run() == 0
    monkeypatch.setenv("CLV_EXPORT_SECRET", SECRET[::-1])
    key = next(iter(world.destination()))
    world.stand_in.row_faults = [[key, "Rerun the transaction.", 9]]
    assert world.run("--rotate-key") == 1
    active = [r for r in world.destination().values() if r["is_active"]]
    assert len(active) == 4
    world.stand_in.row_faults = []
    assert world.run("--rotate-key") == 0
    assert world.is_in_step()


def test_who_is_refused_under_a_new_key_is_not_left_under_the_old_one(
    world, monkeypatch
):
    world.audience(1)
    assert world.run() == 0
    world.audience(1, rfm_segment="x" * 51)
    assert [world.run() for _ in range(4)] == [1, 1, 1, 0]
    monkeypatch.setenv("CLV_EXPORT_SECRET", SECRET[::-1])
    assert world.run("--rotate-key") == 0
    assert not any(row["is_active"] for row in world.destination().values())


@pytest.fixture
def own_keys(monkeypatch):
    monkeypatch.setattr(World, "has_own_keys", True)
    monkeypatch.setattr(Crm, "max_rows", 10)


def test_keys_may_be_the_tenants_own(own_keys, world, target, monkeypatch):
    monkeypatch.delenv("CLV_EXPORT_SECRET")
    extension = world.stand_in.extensions["clv_segments"]
    extension.fields["customerkey"]["length"] = 254
    fields = world.stand_in.objects["Customer_Segment__c"].fields
    fields[KEY.crm] |= {"length": 254}
    world.audience(*range(12))
    if target == "sfmc":
        assert world.run() == 2
        assert "not sendable" in world.out
        world.stand_in.extensions.clear()
        assert world.run("--check", "--create") == 0
        assert world.stand_in.extensions["clv_segments"].is_sendable
    assert world.run(target=target) == 0
    assert world.is_in_step(target)
    # A customer gets another key: the old one goes before the new one comes.
    for table in ("audience", "candidates"):
        world.sql(
            f"update {EXPORT}{table} set subscriber_key = 'new' "
            f"where customer_id = '{CUSTOMER}3'"
        )
    assert world.run(target=target) == 0
    active = [k for k, r in world.destination(target).items() if r["is_active"]]
    assert len(active) == 12
    assert "new" in active
    for table in ("audience", "candidates"):
        world.sql(
            f"update {EXPORT}{table} set subscriber_key = 'NEW' "
            f"where customer_id in ('{CUSTOMER}3', '{CUSTOMER}4')"
        )
    assert world.run(target=target) == 2


# -- Pieces


def test_a_request_that_is_too_large_is_sent_in_halves(world, target, monkeypatch):
    world.audience(*range(10))
    world.add(world.row(campaigns="|é漢" * 2_000), ["large"])
    monkeypatch.setattr(export_segments.TRANSPORTS[target], "max_bytes", 1_500)
    assert world.run(target=target) == 1
    assert (world.report["synced_rows"], world.report["rejected_rows"]) == (10, 1)
    assert world.report["codes"] == {"TooLarge": 1}
    sizes = [len(r.body) for r in world.stand_in.requests if r.method == "PUT"]
    assert len(sizes) > 1
    assert max(sizes) <= 1_500
    world.audience(*range(10))
    assert world.run(target=target) == 0
    assert world.is_in_step(target)


def test_what_is_inserted_is_what_was_given_and_takes_no_library_of_frames():
    texts = ['"a, b"\n\u2028é漢', "x\r\ny", "\r", "", None, "'", "\\", " ", '"', "NULL"]
    texts += ["\\N"]
    program = (
        "import sys, duckdb, export_segments\n"
        "from export_warehouse import insert\n"
        "connection = duckdb.connect()\n"
        "connection.execute('create table t (a text, b bigint, c boolean)')\n"
        f"texts = {texts!r}\n"
        "insert(connection, 't', {'a': texts, 'b': 7, 'c': [True] * len(texts)})\n"
        "wanted = [(text, 7, True) for text in texts]\n"
        "assert connection.execute('from t').fetchall() == wanted\n"
        "assert not {'pandas', 'pyarrow', 'simple_salesforce'} & {*sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=SCRIPTS, check=True)


def test_nobody_is_named_by_loader_build_or_export(
    built, stand_in, tmp_path, monkeypatch
):
    """Needs a build, of whose inputs somebody is in every column of text."""
    for file in built.folder.glob("warehouse.duckdb*"):  # with what is not yet in it
        shutil.copy(file, tmp_path)
    for table in SAID:
        write_persons(tmp_path, table)
    monkeypatch.setenv("CLV_DUCKDB_PATH", str(tmp_path / "warehouse.duckdb"))
    monkeypatch.setenv("CLV_EXPORT_SECRET", SECRET)
    export = (sys.executable, str(SCRIPTS / "export_segments.py"), "--target", "sfmc")
    said = [built.said.encode()]
    for code, command in (
        (0, (*export, *FAST, "--dry-run")),
        (0, (*export, *FAST)),
        (0, (*LOAD, str(tmp_path), "--withdrawals")),
        (5, (*export, *FAST)),
        (5, (*export, *FAST, "--withdrawals")),
    ):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == code, done.stdout
        said.append(done.stdout)
    assert len(stand_in.requests) > 5
    said += [part for r in stand_in.requests for part in (r.path.encode(), r.body)]
    for folder in ("logs", "target"):
        files = (built.folder / folder).rglob("*")
        said += [path.read_bytes() for path in files if path.is_file()]
    for text in said:
        found = re.search(rb"quillfeather|7654321|secret-canary-of", text.lower())
        assert not found, text[max(0, found.start() - 80) : found.end()]


def test_what_is_read_back_is_hashed_as_it_was_built(built):
    rows = built.read(f"from {EXPORT}delta where op = 'upsert'")
    assert len(rows)
    for row in rows.to_dict("records"):
        assert export_transports.content(row) == row["row_hash"]


def test_what_is_built_fits_the_columns_that_are_synced(built):
    for column in COLUMNS:
        if column.kind == "Text" and column is not KEY:
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
    built.build("--full-refresh", "--select", "export_marketing_cloud__synced")
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


def fill(database, number):
    """Make an audience of so many customers."""
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            f"insert into {EXPORT}candidates by name select i::varchar as customer_id, "
            "'Champions' as clv_segment, 'Potential Loyalists' as rfm_segment, "
            "'2024-05-01' as segment_since, '100-250' as clv_365d, "
            "35 as probability_purchase_90d_pct, 12 as offer_cap, "
            f"'|all|' as campaigns, '{DAY}' as as_of_date, "
            f"md5(i::varchar) as row_hash, '{LOG}' as log_id "
            f"from range({number}) as t (i)"
        )
        connection.execute(
            f"insert into {EXPORT}audience by name select * exclude (exclusion_reason, "
            "offer_cap_source, offer_cap_by_uplift, log_id), true as has_consent "
            f"from {EXPORT}candidates"
        )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_100_000_rows_are_synced_within_a_memory_limit(world):
    fill(world.database, 100_000)
    process = world.start("--timeout", "30", "--deadline", "60")
    peak = peak_memory(process)
    assert world.finish(process) == 0
    assert len(world.destination()) == 100_000
    assert peak < 250, peak
