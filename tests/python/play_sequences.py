"""Play random calendars in small shops, and check the warehouse after every run.

usage: play_sequences.py [--seed N] [--sequences M] [--steps K] [--until K]
                         [--play STEPS] [--target duckdb | emulator] [--folder PATH]

A sequence is a shop, made from its seed, and steps: days that pass, late lines, a month
that is corrected, refits, canaries, operations on the registry, runs that are killed.
Every step is printed with its number, its runs, their exit codes and seconds, and what
dbt said when it refused. A sequence ends at the first thing that is wrong, which is
printed with the seed and the step. --until replays the first steps of the sequence of a
seed and leaves its warehouse in the folder; --play names the steps, for a case of one's
own: --play canary,day,rollback. Exits with 1 when anything was wrong.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import yaml
from warm_dbt import ROOT, Dbt

sys.path.insert(0, str(ROOT / "scripts"))

import compare_builds
from load_input import Options, load

FIRST_DAY, START = pd.Timestamp("2023-01-01"), pd.Timestamp("2024-04-17")
MONTHS_AHEAD = 12
# Shops differ by this many seeds: the first run of each is kept for the next sequence.
SHOPS = 4
CUSTOMERS = 280
HORIZONS = (30, 90, 180, 365)
# What is checked; it is built with all that it reads, and nothing else is.
WANTED = (
    *("customer_lifetime_value", "customer_rfm", "customer_segments", "customers"),
    *("transactions", "customer_equity", "customer_equity_daily", "cohort_clv"),
    *("segment_summary", "segment_transitions", "segment_stability", "score_coverage"),
    *("model_registry", "scoring_runs", "score_distribution"),
    # What daily runs look up, and full runs do not wait for.
    *("int_orders__closed", "int_purchases__closed", "int_first_touches__closed"),
)
# Tables of state that a run of the same day replaces rows of, and the day of a row.
REPLACED = {
    "int_segments__remembered": "refreshed_on",
    "int_segments__frozen_cut_points": "effective_date",
}
SAID = re.compile(r"clv: .*")
WRITES_STATE = r"(insert\s+into|merge\s+into|delete\s+from|alter\s+table)[^;]*_state"


class WrongError(Exception):
    """What is wrong with the warehouse after a step."""


def must(condition, text):
    if not condition:
        raise WrongError(text)


# -- The shop


class Shop:
    """Orders of customers who buy at a rate of their own and drop out, by arrival."""

    def __init__(self, seed):
        rng = np.random.default_rng([seed, 17])
        span = (START - FIRST_DAY).days + 31 * MONTHS_AHEAD
        rows = []
        for number in range(CUSTOMERS):
            rate = rng.gamma(0.9, 1 / 28) + 1 / 500
            leaves = rng.beta(0.7, 6)
            level = rng.gamma(4, 10)
            day = rng.uniform(0, span * 0.85)
            while day < span:
                amount = round(level * rng.gamma(5, 0.2) + 1, 2)
                rows.append((f"c{number:03d}", f"o{len(rows):05d}", int(day), amount))
                if rng.random() < leaves:
                    break
                day += 1 + rng.exponential(1 / rate)
        lines = pd.DataFrame(rows, columns=["user_id", "order_id", "day", "amount"])
        lines["ts"] = FIRST_DAY + pd.to_timedelta(lines.pop("day"), "D")
        lines["is_refund"] = False
        back = lines.sample(frac=0.05, random_state=int(seed))
        share = rng.choice([0.4, 1.0], len(back))
        back = back.assign(
            amount=-np.round(back["amount"] * share, 2),
            ts=back["ts"] + pd.to_timedelta(rng.integers(0, 40, len(back)), "D"),
            is_refund=True,
        )
        lines = pd.concat([lines, back], ignore_index=True)
        self.lines = lines.assign(arrives=lines["ts"]).reset_index(drop=True)

    def delivered(self, day):
        """The log as it is loaded at the end of a day."""
        there = (self.lines["arrives"] <= day) & (self.lines["ts"] <= day)
        return self.lines[there].drop(columns="arrives")

    def add(self, rows):
        """Add lines, with the day on which they arrive."""
        self.lines = pd.concat([self.lines, pd.DataFrame(rows)], ignore_index=True)

    def orders(self, first, last):
        """Orders of the days between, as they are delivered by the last."""
        known = self.delivered(last)
        return known[~known["is_refund"] & (known["ts"] >= first)]


# -- The warehouse


class DuckWarehouse:
    """The DuckDB file: to load, run, copy and look into."""

    target, has_twins = "duckdb", True

    def __init__(self, project, folder, dbt):
        self.project, self.folder, self.dbt = project, folder, dbt
        folder.mkdir(parents=True, exist_ok=True)
        # Views name the file: a copy keeps its name.
        self.database = folder / "warehouse.duckdb"

    def load(self, lines):
        """Replace the log."""
        source = self.folder / "transactions.parquet"
        lines.to_parquet(source, index=False)
        load(source, self.database, Options())

    def call(self, *arguments, dies=None):
        """Run a command of dbt; return its exit code and what it printed."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DBT_", "CLV_"))
        }
        environment |= {
            "CLV_DUCKDB_PATH": str(self.database),
            "CLV_THREADS": "1",
            "DBT_PROFILES_DIR": str(self.project),
            "DBT_TARGET_PATH": str(self.project / "target"),
            "DBT_LOG_PATH": str(self.project / "logs"),
            "DBT_LOG_LEVEL_FILE": "none",
        } | self.environment()
        command = ("--no-use-colors", *arguments, "--target", self.target)
        return self.dbt.run(command, self.project, environment, dies)

    def environment(self):
        """What dbt needs to find it."""
        return {}

    def close(self):
        """Stop what serves it."""

    def read(self, query):
        """Rows of a query as dictionaries."""
        with duckdb.connect(str(self.database)) as connection:
            found = connection.execute(query)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def tables(self, schema):
        """Table → its rows as tuples, of every table of a schema."""
        with duckdb.connect(str(self.database)) as connection:
            names = connection.execute(
                "select table_name from duckdb_tables() "
                "where schema_name = ? order by 1",
                [schema],
            ).fetchall()
            found = {}
            for (name,) in names:
                result = connection.execute(f"from {schema}.{name}")
                columns = [column[0] for column in result.description]
                found[name] = (columns, Counter(map(repr, result.fetchall())))
            return found

    def copy(self, folder):
        """Another warehouse with what this one holds."""
        folder.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(self.database)) as connection:
            connection.execute("checkpoint")
        twin = type(self)(self.project, folder, self.dbt)
        shutil.copy(self.database, twin.database)
        return twin

    def restore_state(self, twin):
        """Bring the tables of schema clv_state back as a copy has them."""
        with duckdb.connect() as connection:
            connection.execute(f"attach '{self.database}' as warehouse")
            connection.execute(f"attach '{twin.database}' as old (read_only)")
            names = connection.execute(
                "select database_name, table_name from duckdb_tables() "
                "where schema_name = 'clv_state'"
            ).fetchall()
            for database, name in names:
                if database == "warehouse":
                    connection.execute(f"drop table warehouse.clv_state.{name}")
            for database, name in names:
                if database == "old":
                    connection.execute(
                        f"create table warehouse.clv_state.{name} as "
                        f"from old.clv_state.{name}"
                    )

    def differences(self, twin):
        """Lines that say how the marts differ from those of another warehouse."""
        logs = {"scoring_runs"}
        return compare_builds.compare(twin.database, self.database, "clv", 1e-9, logs)


class EmulatorWarehouse(DuckWarehouse):
    """The same on a BigQuery emulator, which has no copies to run beside it."""

    target, has_twins = "emulator", False

    def __init__(self, project, folder, dbt):
        from build_emulator import LOCATION, NAME, emulator
        from load_bigquery import open_client

        super().__init__(project, folder, dbt)
        for name in ("NO_PROXY", "no_proxy"):
            others = os.environ.get(name)
            os.environ[name] = ",".join(filter(None, (others, "127.0.0.1")))
        self.stack = contextlib.ExitStack()
        python = ROOT / ".venv" / "emulator" / "bin" / "python"
        _, self.endpoint = self.stack.enter_context(
            emulator(python, folder, folder / "emulator.log")
        )
        self.client = open_client(NAME, LOCATION, self.endpoint)
        self.copies = 0

    def close(self):
        """Stop the emulator."""
        self.stack.close()

    def environment(self):
        """What dbt needs to find it."""
        return {"CLV_BIGQUERY_ENDPOINT": self.endpoint}

    def load(self, lines):
        """Replace the log."""
        from build_emulator import LOCATION
        from load_bigquery import SCHEMA, push

        super().load(lines)
        push(self.client, self.database, SCHEMA, LOCATION)

    def read(self, query):
        """Rows of a query as dictionaries."""
        return [dict(row) for row in self.client.query_and_wait(query)]

    def names(self, schema):
        """Tables of a dataset, which may not be there yet."""
        if schema not in {each.dataset_id for each in self.client.list_datasets()}:
            return []
        functions = {each.routine_id for each in self.client.list_routines(schema)}
        return [
            each.table_id
            for each in self.client.list_tables(schema)
            if each.table_type == "TABLE" and each.table_id not in functions
        ]

    def tables(self, schema):
        """Table → its rows, of every table of a dataset."""
        found = {}
        for name in self.names(schema):
            result = self.client.query_and_wait(f"select * from {schema}.{name}")
            columns = [column.name for column in result.schema]
            rows = Counter(repr(row.values()) for row in result)
            found[name] = (columns, rows)
        return found

    def copy(self, folder):
        """The marts in a DuckDB file, and state in a dataset of its own."""
        from compare_warehouses import download

        folder.mkdir(parents=True, exist_ok=True)
        self.copies += 1
        twin = EmulatorCopy(folder, f"copy_{self.copies}")
        download(self.client, "clv", twin.database)
        self.client.create_dataset(twin.dataset, exists_ok=True)
        self.fill(twin.dataset, "clv_state")
        return twin

    def fill(self, target, source):
        """Copy the tables of a dataset into another."""
        for name in self.names(source):
            self.client.query_and_wait(
                f"create or replace table {target}.{name} as "
                f"select * from {source}.{name}"
            )

    def restore_state(self, twin):
        """Bring the tables of state back as a copy has them."""
        kept = self.names(twin.dataset)
        for name in self.names("clv_state"):
            if name not in kept:
                self.client.query_and_wait(f"drop table clv_state.{name}")
        self.fill("clv_state", twin.dataset)

    def differences(self, twin):
        """Lines that say how the marts differ from those of a copy."""
        now = self.copy(twin.folder / "now")
        logs = {"scoring_runs"}
        return compare_builds.compare(twin.database, now.database, "clv", 1e-9, logs)


class EmulatorCopy:
    """What was on the emulator at some time."""

    def __init__(self, folder, dataset):
        self.folder, self.dataset = folder, dataset
        self.database = folder / "marts.duckdb"


REF = re.compile(r"\bref\(\s*['\"](\w+)['\"]")
# What a reader of the project needs and a run does not, and takes time to parse.
UNREAD = ("data_tests", "unit_tests", "description", "exposures")


def make_project(folder):
    """A copy of the project, without tests, of what is wanted and all that it reads."""
    for name in ("models", "macros", "seeds", "python_models"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "tests").mkdir()
    files = {
        path.stem: path
        for room in ("models", "python_models")
        for path in (folder / room).rglob("*.*")
        if path.suffix in (".sql", ".py")
    }
    # Hooks and macros read models too.
    macros = "\n".join(path.read_text() for path in (folder / "macros").rglob("*.sql"))
    needed, found = set(), {*WANTED, *REF.findall(macros)}
    while found:
        needed |= found
        read = {name for name in found if name in files}
        texts = [files[name].read_text() for name in read]
        found = {name for text in texts for name in REF.findall(text)} - needed
    for name in files.keys() - needed:
        files[name].unlink()
    for path in (folder / "models").rglob("*.md"):
        path.unlink()

    def strip(part):
        if isinstance(part, dict):
            for name in UNREAD:
                part.pop(name, None)
        for each in part.values() if isinstance(part, dict) else part:
            if isinstance(each, dict | list):
                strip(each)

    for path in folder.rglob("_*.yml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        strip(content)
        for name in ("semantic_models", "metrics", "saved_queries"):
            content.pop(name, None)
        content["models"] = [
            model
            for model in content.get("models", [])
            if model["name"] not in files or model["name"] in needed
        ]
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    selectors = yaml.safe_load((ROOT / "selectors.yml").read_text(encoding="utf-8"))
    for kind in ("daily_scoring", "weekly_backtest", "monthly_refit"):
        wanted = [{"method": "fqn", "value": name, "parents": True} for name in WANTED]
        parts = [{"method": "selector", "value": kind}, {"union": wanted}]
        selectors["selectors"].append(
            {"name": f"small_{kind}", "definition": {"intersection": parts}}
        )
    (folder / "selectors.yml").write_text(yaml.safe_dump(selectors))
    return folder


# -- A sequence


@dataclass
class Run:
    """One run of dbt, and what it left."""

    kind: str
    as_of: pd.Timestamp
    variables: dict
    options: tuple = ()
    code: int = 0
    printed: str = ""
    seconds: float = 0.0
    processor_seconds: float = 0.0

    @property
    def said(self):
        """The sentence of a refusal."""
        text = re.sub(r"\x1b\[[0-9;]*m|^\d\d:\d\d:\d\d ", "", self.printed, flags=re.M)
        text = " ".join(text.split())
        found = re.search(
            r"Error.{0,80}?(clv: (?!reads ).*?)(?: > in macro| LINE | compiled|$)", text
        )
        return found[1][:400] if found else text[-400:]

    @property
    def is_full(self):
        """Whether it builds everything from nothing."""
        return self.kind != "daily_scoring"


@dataclass
class Sequence:
    """A shop, its warehouse and the calendar so far."""

    seed: int
    warehouse: DuckWarehouse
    shop: Shop
    day: pd.Timestamp = START
    variables: dict = field(default_factory=dict)
    last: Run | None = None  # the last good run
    full_on: pd.Timestamp | None = None
    # Customers whose lines changed outside of what daily runs read, since the full run.
    unsettled: set = field(default_factory=set)
    copies: list = field(default_factory=list)
    runs: list = field(default_factory=list)  # those of this step
    rng: np.random.Generator = None

    # -- Running

    def play(self, kind, as_of=None, *options, dies=None, refused=False, **variables):
        """Run dbt and check what it leaves; refused says that it must be, or may be."""
        as_of = self.day if as_of is None else as_of
        given = self.variables | variables
        run = Run(kind, as_of, given, options)
        before = self.state()
        marts = self.warehouse.tables("clv") if refused else None
        self.execute(run, dies)
        if dies and run.code != 0:
            self.check_after_death(run, before)
            return run
        if run.code != 0:
            must(refused, f"{kind} as of {as_of:%F} failed: {run.said}")
            self.check_unchanged(before, marts, f"the refused {kind}")
            return run
        must(refused in (False, "maybe"), f"{kind} as of {as_of:%F} was not refused")
        self.last = run
        if run.is_full:
            self.full_on, self.unsettled = as_of, set()
        self.check_served(run)
        self.check_kept(run, before)
        return run

    def execute(self, run, dies=None, warehouse=None):
        """Run dbt, here or in a copy, and note it."""
        start = time.monotonic()
        variables = run.variables | {
            "clv_as_of_date": f"{run.as_of:%F}",
            "clv_run": "full" if run.is_full else "daily",
        }
        run.code, run.printed = (warehouse or self.warehouse).call(
            *("build", "--selector", f"small_{run.kind}", *run.options),
            *("--vars", json.dumps(variables)),
            dies=dies,
        )
        self.note(run, start)

    def note(self, run, start):
        """Keep how long a run took, to be printed."""
        run.seconds = time.monotonic() - start
        run.processor_seconds = self.warehouse.dbt.processor_seconds
        self.runs.append(run)

    def operate(self, name, refused="maybe", **arguments):
        """Run an operation on the registry, and refresh when it did something."""
        run = Run(name, self.day, self.variables)
        before, marts = self.state(), self.warehouse.tables("clv")
        start = time.monotonic()
        variables = self.last.variables | {"clv_as_of_date": f"{self.last.as_of:%F}"}
        run.code, run.printed = self.warehouse.call(
            *("run-operation", name, "--args", json.dumps(arguments)),
            *("--vars", json.dumps(variables)),
        )
        self.note(run, start)
        if run.code != 0:
            must(
                "clv: " in run.printed, f"{name} failed without a sentence: {run.said}"
            )
            must(refused, f"{name} was refused: {run.said}")
            self.check_unchanged(before, marts, f"the refused {name}")
            return run
        self.check_registry()
        self.check_appended(before, name)
        events = "registry_events"
        told = self.state()[events][1].total() - before[events][1].total()
        must(told > 0, f"{name} tells the registry nothing: {run.said}")
        self.refresh()
        return run

    def refresh(self):
        """A daily run of the last as-of date, as change_version.sh does."""
        if self.day < self.last.as_of or self.last.as_of < self.full_on:
            return
        self.play("daily_scoring", self.last.as_of)

    def load(self, lines=None):
        """Load the log as of today, or another one."""
        lines = self.shop.delivered(self.day) if lines is None else lines
        self.warehouse.load(lines)

    def pass_days(self, low, high=None):
        """Go on by some days, and load what has come."""
        days = low if high is None else int(self.rng.integers(low, high + 1))
        self.day += pd.Timedelta(days, "D")
        must(
            self.day < START + pd.Timedelta(30 * MONTHS_AHEAD, "D"), "the log has ended"
        )
        self.load()

    def daily(self, **options):
        """A daily run, or a full one where it is due."""
        if (self.day - self.full_on).days > 28 or self.full_on > self.day:
            return self.play("weekly_backtest", **options)
        return self.play("daily_scoring", **options)

    # -- Reading

    def state(self):
        """Every table of state."""
        return self.warehouse.tables("clv_state")

    def read(self, query):
        """Rows of the warehouse."""
        return self.warehouse.read(query)

    def statuses(self):
        """Version → status, of the log that was built last."""
        rows = self.read(
            """
            select events.model_version, events.status, events.event_number
            from clv_state.registry_events as events
            inner join clv_intermediate.int_logs as logs
                on events.log_id = logs.log_id and events.decided_on <= logs.seen_until
            where events.status not in ('pinned', 'unpinned')
            order by events.event_number
            """
        )
        return {row["model_version"]: row["status"] for row in rows}

    # -- Checking

    def check_registry(self):
        """Exactly one champion and at most one canary, in state and in serving."""
        statuses = self.statuses()
        counts = Counter(statuses.values())
        must(
            counts["champion"] == 1 and counts["canary"] <= 1,
            f"the registry has {counts['champion']} champions and {counts['canary']} "
            f"canaries: {statuses}",
        )
        serving = {
            row["model_version"]: row["status"]
            for row in self.read(
                "select model_version, status from clv_intermediate.int_serving"
            )
        }
        rows = self.read("select count(*) as n from clv_intermediate.int_serving")
        ours = {v: s for v, s in statuses.items() if s in ("champion", "canary")}
        must(
            serving == ours and rows[0]["n"] == len(ours),
            f"int_serving has {serving}, the registry {ours}",
        )
        return ours

    def check_unique(self):
        """No customer is there twice."""
        for table in ("customer_lifetime_value", "customer_rfm", "customer_segments"):
            found = self.read(
                f"select count(*) as n, count(distinct customer_id) as customers "
                f"from clv.{table}"
            )[0]
            must(
                found["n"] == found["customers"],
                f"{table} has {found['n']} rows of {found['customers']} customers",
            )

    def check_served(self, run):
        """What holds after every good run."""
        serving = self.check_registry()
        self.check_unique()
        champion = next(v for v, s in serving.items() if s == "champion")
        day = run.as_of.date()
        counts = self.read(
            """
            select
                (select count(*) from clv.customers) as customers,
                (select count(*) from clv.customer_lifetime_value) as scored,
                (select count(*) from clv.customer_segments) as segmented,
                (select sum(customers) from clv.segment_summary) as summed,
                (select count(*) from clv.customer_lifetime_value
                    where frequency is not null) as buyers,
                (select count(*) from clv.customer_rfm) as ranked
            """
        )[0]
        must(
            counts["customers"] == counts["scored"] == counts["segmented"],
            f"customers differ: {counts}",
        )
        must(counts["buyers"] == counts["ranked"], f"buyers differ: {counts}")
        for table in ("customer_lifetime_value", "customer_rfm", "customer_segments"):
            days = self.read(f"select distinct as_of_date as d from clv.{table}")
            must(
                [str(row["d"])[:10] for row in days] == [str(day)],
                f"{table} is as of {days}, not {day}",
            )
        for row in self.read(
            """
            select model_version, clv_source, scored_on, count(*) as n,
                count(clv_365d) as valued
            from clv.customer_lifetime_value
            where frequency is not null
            group by 1, 2, 3
            """
        ):
            must(
                row["model_version"] in serving and row["valued"] == row["n"],
                f"{row['n']} customers have source {row['clv_source']} and version "
                f"{row['model_version']}; {serving} serve",
            )
            must(
                str(row["scored_on"])[:10] == str(day),
                f"{row['n']} customers are scored on {row['scored_on']}, not {day}",
            )
        share = run.variables.get("clv_canary_share", 0.1)
        canaries = self.read(
            f"select count(*) as n from clv.customer_lifetime_value "
            f"where frequency is not null and model_version != '{champion}'"
        )[0]["n"]
        expected = share * counts["buyers"] if "canary" in serving.values() else 0
        must(
            abs(canaries - expected) <= 4 * np.sqrt(expected),
            f"the canary serves {canaries} of {counts['buyers']} at a share of {share}",
        )
        self.check_sums(run, champion)
        for row in self.read("select model_version, status from clv.model_registry"):
            is_status = self.statuses().get(row["model_version"]) == row["status"]
            must(is_status, f"model_registry says {row}, state {self.statuses()}")

    def check_sums(self, run, champion):
        """Equity, cohorts and the customers' own values agree."""
        sums = ", ".join(
            f"sum(clv_{h}d) as clv_{h}, sum(expected_purchases_{h}d) as purchases_{h}"
            for h in HORIZONS
        )
        ours = self.read(
            f"select count(*) as customers, {sums} from clv.customer_lifetime_value "
            "where frequency is not null"
        )[0]
        told = {
            "customer_equity_daily": "select horizon_days, customers, clv, "
            "expected_purchases from clv.customer_equity_daily "
            f"where as_of_date = date '{run.as_of:%F}'",
        }
        if run.is_full:
            told["cohort_clv"] = (
                "select horizon_days, sum(customers) as customers, sum(clv) as clv, "
                "sum(expected_purchases) as expected_purchases from clv.cohort_clv "
                f"where cutoff_date = date '{run.as_of:%F}' group by 1"
            )
            told["customer_equity"] = (
                "select horizon_days, customers, clv, expected_purchases "
                f"from clv.customer_equity where cutoff_date = date '{run.as_of:%F}'"
            )
        for table, query in told.items():
            rows = {row["horizon_days"]: row for row in self.read(query)}
            must(set(rows) == set(HORIZONS), f"{table} has horizons {sorted(rows)}")
            for horizon, row in rows.items():
                for name, value in (
                    ("customers", ours["customers"]),
                    ("clv", ours[f"clv_{horizon}"]),
                    ("expected_purchases", ours[f"purchases_{horizon}"]),
                ):
                    must(
                        abs(float(row[name]) - float(value))
                        <= 1e-6 * abs(float(value)),
                        f"{table}.{name} at {horizon} days is {row[name]}, "
                        f"customer_lifetime_value adds up to {value}",
                    )
        versions = self.read(
            "select distinct model_version as v, is_latest from "
            f"clv.customer_equity_daily where as_of_date = date '{run.as_of:%F}'"
        )
        must(
            versions == [{"v": champion, "is_latest": True}],
            f"customer_equity_daily of the day: {versions}, champion {champion}",
        )

    def check_unchanged(self, state, marts, what):
        """A refused run leaves state and marts as they were."""
        for schema, before in (("clv_state", state), ("clv", marts)):
            after = self.warehouse.tables(schema)
            changed = sorted(
                name
                for name in before.keys() | after.keys()
                if before.get(name) != after.get(name)
            )
            must(not changed, f"{what} changed {schema}.{', '.join(changed)}")

    def check_appended(self, before, what, as_of=None):
        """State only grows, but for the rows of the day that is run again."""
        after = self.state()
        for name, (columns, rows) in before.items():
            must(name in after, f"{what} dropped clv_state.{name}")
            lost = rows - after[name][1]
            if as_of is not None and name in REPLACED:
                today = repr(as_of.date())
                lost = {row for row in lost if today not in row}
            must(
                not lost,
                f"{what} took {len(lost)} rows out of clv_state.{name}, such as "
                f"{next(iter(lost), '')[:300]} of {columns}",
            )

    def check_kept(self, run, before):
        """A run takes nothing out of state but what it replaces of its own day."""
        logs = self.read(
            "select log_id from clv_intermediate.int_logs where is_current"
        )
        rebuilt = "@" in logs[0]["log_id"]
        self.check_appended(before, run.kind, None if rebuilt else run.as_of)

    def check_after_death(self, run, before):
        """What holds even in the middle of a run."""
        self.check_appended(before, f"the killed {run.kind}", run.as_of)
        self.check_unique()
        counts = Counter(self.statuses().values())
        must(
            counts["champion"] == 1 and counts["canary"] <= 1,
            f"the killed {run.kind} leaves {dict(counts)}",
        )

    def check_same(self, twin, what):
        """The marts are those of a copy."""
        found = self.warehouse.differences(twin)
        must(not found, f"{what}: {'; '.join(found[:8])}")

    def check_against_full(self):
        """What the daily run serves is what a full one would, of the same day."""
        if not self.warehouse.has_twins:
            return
        twin = self.warehouse.copy(self.warehouse.folder / "full")
        run = Run("weekly_backtest", self.last.as_of, self.last.variables)
        self.execute(run, warehouse=twin)
        must(run.code == 0, f"the full run beside the daily one failed: {run.said}")
        # A full run learns its corrections anew, a daily one keeps those of the last:
        # compared is what they correct, and what they correct it by.
        facts = [
            *("as_of_date", "first_purchase_date", "last_purchase_date", "frequency"),
            *("recency_days", "age_days", "order_count", "mean_value", "model_version"),
            *("scored_on", "clv_source"),
        ]
        modelled = ["probability_alive", "purchase_rate", "expected_value"]
        modelled += ["forgetting_60d", "forgetting_120d", "forgetting_240d"]
        modelled += [f"purchases_if_alive_{h}d" for h in HORIZONS]
        modelled += [
            f"own_{own}_{h}d" for own in ("purchases", "value") for h in HORIZONS
        ]
        columns = [f"served.{name}" for name in facts]
        columns += [f"alive.{name}" for name in modelled]
        facts += modelled
        query = f"""
            select served.customer_id, {", ".join(columns)}
            from clv.customer_lifetime_value as served
            left join clv_intermediate.int_predictions__alive as alive
                on served.customer_id = alive.customer_id
                and served.model_version = alive.model_version
                and served.scored_on = alive.cutoff_date
        """
        ours, theirs = (
            {row["customer_id"]: row for row in each.read(query)}
            for each in (self.warehouse, twin)
        )
        shutil.rmtree(twin.folder)
        wrong = []
        for customer in sorted(ours.keys() | theirs.keys()):
            if customer in self.unsettled:
                continue
            one, two = ours.get(customer, {}), theirs.get(customer, {})
            for name in facts:
                a, b = one.get(name), two.get(name)
                if a != b and not (
                    isinstance(a, float)
                    and isinstance(b, float)
                    and abs(a - b) <= 1e-9 * max(abs(a), abs(b))
                ):
                    wrong.append(f"{customer} {name} {a} daily, {b} full")
        must(
            not wrong, f"{len(wrong)} differences to a full run: {'; '.join(wrong[:4])}"
        )

    # -- Steps

    def begin(self):
        """The first run."""
        self.load()
        self.play("monthly_refit")

    def step_day(self):
        """Days pass; a daily run, now and then compared with a full one."""
        self.pass_days(1, 3)
        self.daily()
        if not self.last.is_full and self.rng.random() < 0.4:
            self.check_against_full()

    def step_week(self):
        """The weekly run."""
        self.pass_days(4, 7)
        self.play("weekly_backtest")

    def changed(self, lines):
        """Note whose lines a daily run as of today does not read."""
        window = (self.day - pd.Timedelta(7, "D")).replace(day=1)
        self.unsettled |= set(lines.loc[lines["ts"] < window, "user_id"])

    def step_late(self):
        """Lines come late, some of them later than a daily run looks back."""
        orders = self.shop.orders(self.day - pd.Timedelta(90, "D"), self.day)
        late = orders.sample(6, random_state=int(self.rng.integers(1 << 30)))
        ages = [2, 3, 8, 20, 45, 80]
        number = len(self.shop.lines)
        late = late.assign(
            ts=[self.day - pd.Timedelta(int(age), "D") for age in ages],
            order_id=[f"late{number + k}" for k in range(len(late))],
            arrives=self.day + pd.Timedelta(1, "D"),
        )
        self.shop.add(late)
        self.pass_days(1)
        self.changed(late)
        self.daily()
        if not self.last.is_full:
            self.check_against_full()

    def step_refund(self):
        """Refunds of orders of the last months."""
        orders = self.shop.orders(self.day - pd.Timedelta(150, "D"), self.day)
        back = orders.sample(3, random_state=int(self.rng.integers(1 << 30)))
        tomorrow = self.day + pd.Timedelta(1, "D")
        share = self.rng.choice([0.5, 1.0], len(back))
        back = back.assign(
            amount=-np.round(back["amount"] * share, 2),
            ts=tomorrow,
            is_refund=True,
            arrives=tomorrow,
        )
        self.shop.add(back)
        self.pass_days(1)
        self.daily()
        if not self.last.is_full and self.rng.random() < 0.5:
            self.check_against_full()

    def step_corrected(self):
        """A closed month loses most of its lines: refused, then accepted."""
        month = (self.day - pd.Timedelta(int(self.rng.integers(70, 250)), "D")).replace(
            day=1
        )
        lines = self.shop.lines
        inside = lines["ts"].between(month, month + pd.offsets.MonthEnd(0))
        lost = inside & (self.rng.random(len(lines)) < 0.75)
        self.shop.lines = lines[~lost].reset_index(drop=True)
        self.pass_days(1)
        refused = self.play("weekly_backtest", refused=True)
        must(" gives " in refused.said, f"another refusal: {refused.said}")
        self.play("weekly_backtest", clv_accept_load=True)
        self.pass_days(1)
        self.daily()
        if not self.last.is_full:
            self.check_against_full()

    EDITS = (
        ("clv_margin_rate", 0.5),
        ("clv_discount_rate", 0.2),
        ("clv_loyal_purchases", 5),
        ("clv_inactivity_days", 120),
        ("clv_refund_days", 90),
    )

    # These say what a version predicts: another one must be fitted.
    DEFINING = ("clv_margin_rate", "clv_discount_rate", "clv_refund_days")

    def step_edited(self):
        """An edited variable: a daily run refuses it, a full one takes it."""
        name, value = self.EDITS[self.rng.integers(len(self.EDITS))]
        if self.variables.get(name) == value:
            value = value * 3 // 2 if isinstance(value, int) else value * 1.5
        self.pass_days(1)
        if (self.day - self.full_on).days > 28:
            self.play("weekly_backtest")
            self.pass_days(1)
        refused = self.play("daily_scoring", refused=True, **{name: value})
        must(name in refused.said, f"the refusal does not name {name}: {refused.said}")
        if name in self.DEFINING and self.rng.random() < 0.3:
            self.play("weekly_backtest", refused=True, **{name: value})
        if self.rng.random() < 0.4:
            self.daily()
            return
        self.variables = self.variables | {name: value}
        self.play("monthly_refit")
        self.pass_days(1)
        self.daily()

    def step_refit(self):
        """The monthly refit; the gate decides."""
        self.pass_days(12, 28)
        self.play("monthly_refit")

    def step_canary(self):
        """A refit of which a share is served until the next refresh, and that."""
        self.variables = self.variables | {"clv_canary_share": 0.3}
        self.pass_days(12, 28)
        self.play("monthly_refit")
        if self.rng.random() < 0.6:
            self.pass_days(1)
            self.daily()

    def step_share(self):
        """The canary's share is edited."""
        share = float(self.rng.choice([0.0, 0.1, 0.3]))
        self.variables = self.variables | {"clv_canary_share": share}
        self.pass_days(1)
        self.daily()

    def step_bad_spec(self):
        """A refit by a spec that cannot be compared is rejected."""
        self.pass_days(8, 16)
        before = self.statuses()
        run = self.play("monthly_refit", clv_purchase_model="mbgnbd")
        new = {v: s for v, s in self.statuses().items() if v not in before}
        must(set(new.values()) <= {"rejected"}, f"{run.kind} registers {new}")

    def step_bad_data(self):
        """Every order comes twice and is accepted; then the log is right again."""
        self.pass_days(5, 12)
        good = self.shop.delivered(self.day)
        again = good.assign(ts=good["ts"] + pd.Timedelta(1, "D"))
        again["order_id"] = "again" + again["order_id"]
        spoilt = pd.concat([good, again[again["ts"] <= self.day]])
        self.load(spoilt)
        must(
            "gives" in self.play("monthly_refit", refused=True).said,
            "another refusal of a doubled load",
        )
        self.play("monthly_refit", clv_accept_load=True)
        self.pass_days(1)
        self.play("monthly_refit", refused=True)
        self.play("monthly_refit", clv_accept_load=True)

    def step_rollback(self):
        """The version before serves again."""
        self.operate("rollback_model", reason="a test")

    def step_promote(self):
        """Any version that is known is promoted."""
        versions = sorted(self.statuses())
        version = versions[self.rng.integers(len(versions))]
        self.operate("promote_model", version=version, reason="a test")

    def step_pin(self):
        """A version is pinned; another refit and a day do not take its place."""
        versions = sorted(self.statuses())
        version = versions[self.rng.integers(len(versions))]
        run = self.operate("pin_model", version=version, reason="a test")
        if run.code == 0:
            self.pass_days(12, 28)
            self.play("monthly_refit")
            champion = [v for v, s in self.statuses().items() if s == "champion"]
            must(champion == [version], f"{version} is pinned, {champion} serves")

    def step_unpin(self):
        """Nothing is pinned any more."""
        self.operate("unpin_model", reason="a test")

    def step_withdraw(self):
        """The canary goes, the champion stays."""
        champion = {v for v, s in self.statuses().items() if s == "champion"}
        run = self.operate("withdraw_canary", reason="a test")
        if run.code == 0:
            after = {s: v for v, s in self.statuses().items()}
            must(
                {after["champion"]} == champion and "canary" not in after,
                f"after withdraw_canary {self.statuses()}",
            )

    def step_killed(self):
        """A run is killed at a statement; the next one leaves what it would have."""
        self.pass_days(1, 3)
        kind = "monthly_refit" if self.rng.random() < 0.5 else "daily_scoring"
        if (self.day - self.full_on).days > 28:
            kind = "weekly_backtest"
        has_twins = self.warehouse.has_twins
        if has_twins:
            clean = self.warehouse.copy(self.warehouse.folder / "clean")
        if self.rng.random() < 0.7:
            dies = (WRITES_STATE, int(self.rng.integers(1, 9)))
        else:
            dies = (".", int(self.rng.integers(40, 500)))
        dies = (*dies, bool(self.rng.random() < 0.5))
        self.play(kind, dies=dies)
        run = self.play(kind)
        if not has_twins:
            return
        other = Run(kind, run.as_of, run.variables)
        self.execute(other, warehouse=clean)
        must(other.code == 0, f"the run that nobody killed failed: {other.said}")
        self.check_same(clean, f"a {kind} after one killed at {dies}")
        shutil.rmtree(clean.folder)

    def step_repeated(self):
        """The last run again: nothing changes."""
        before = self.warehouse.copy(self.warehouse.folder / "before")
        last = self.last
        self.play(last.kind, last.as_of, **last.variables)
        self.check_same(before, f"a second {last.kind}")
        shutil.rmtree(before.folder)

    def step_full_refresh(self):
        """--full-refresh, and the same without: nothing differs."""
        self.play("weekly_backtest")
        before = self.warehouse.copy(self.warehouse.folder / "before")
        self.play("weekly_backtest", None, "--full-refresh")
        self.check_same(before, "--full-refresh")
        shutil.rmtree(before.folder)

    def step_older(self):
        """A full run of an earlier day changes nothing newer; then today again."""
        self.play("weekly_backtest")
        before = self.warehouse.copy(self.warehouse.folder / "before")
        state = self.state()
        older = self.day - pd.Timedelta(int(self.rng.integers(10, 100)), "D")
        kind = "weekly_backtest" if self.rng.random() < 0.5 else "monthly_refit"
        day, full_on = self.day, self.full_on
        self.play(kind, older, refused="maybe")
        self.check_appended(state, f"{kind} of an earlier day")
        self.day, self.full_on = day, full_on
        self.play("weekly_backtest")
        self.check_same(before, f"today's marts after {kind} as of {older:%F}")
        shutil.rmtree(before.folder)

    def step_older_then_daily(self):
        """A full run of some days ago, after which a daily run of today goes on."""
        self.play("weekly_backtest")
        older = self.day - pd.Timedelta(int(self.rng.integers(3, 20)), "D")
        self.play("weekly_backtest", older, refused="maybe")
        run = self.play("daily_scoring", refused="maybe")
        if run.code == 0:
            self.check_against_full()
        else:
            self.play("weekly_backtest")

    def step_restored(self):
        """State as a backup has it; then the runs of before go on."""
        copy = self.copies[self.rng.integers(len(self.copies))]
        self.warehouse.restore_state(copy)
        self.pass_days(1)
        run = self.play("daily_scoring", refused="maybe")
        if run.code != 0:
            # what has been corrected since is another log to the old state
            self.play("weekly_backtest", clv_accept_load=True)
        elif self.rng.random() < 0.5:
            self.check_against_full()


WEIGHTS = {
    "day": 4,
    "week": 2,
    "late": 2,
    "refund": 2,
    "corrected": 2,
    "edited": 3,
    "refit": 4,
    "canary": 4,
    "share": 1,
    "bad_spec": 2,
    "bad_data": 2,
    "rollback": 3,
    "promote": 3,
    "pin": 2,
    "unpin": 1,
    "withdraw": 2,
    "killed": 3,
    "repeated": 2,
    "full_refresh": 1,
    "older": 3,
    "older_then_daily": 2,
    "restored": 3,
}
OPERATIONS = {
    "pin": "pin_model",
    "unpin": "unpin_model",
    "withdraw": "withdraw_canary",
}


def offered():
    """The steps that the project has the operations for."""
    macros = "\n".join(p.read_text() for p in (ROOT / "macros").rglob("*.sql"))
    return [
        name
        for name in WEIGHTS
        if name not in OPERATIONS or f"macro {OPERATIONS[name]}(" in macros
    ]


def drawn(seed, number, known):
    """The names of the steps of a seed; the first ones of a longer sequence."""
    weights = np.array([WEIGHTS[name] for name in known], float)
    return [
        known[
            np.random.default_rng([seed, step, 1]).choice(
                len(known), p=weights / weights.sum()
            )
        ]
        for step in range(1, number + 1)
    ]


WAREHOUSES = {"duckdb": DuckWarehouse, "emulator": EmulatorWarehouse}


def say(text):
    print(text, flush=True)


def play_sequence(seed, steps, project, folder, dbt, target="duckdb"):
    """Play the steps of a seed; return what was wrong, or an empty text."""
    place = folder / f"seed_{seed}"
    shutil.rmtree(place, ignore_errors=True)
    warehouse = WAREHOUSES[target](project, place, dbt)
    with contextlib.closing(warehouse):
        return play_steps(seed, steps, warehouse, folder)


def play_steps(seed, steps, warehouse, folder):
    """Play them in a warehouse that is there."""
    place = warehouse.folder
    sequence = Sequence(
        seed,
        warehouse,
        Shop(seed % SHOPS),
        variables={
            "clv_backtest_days": [91],
            "clv_canary_share": 0.0 if seed % 2 else 0.2,
            "clv_value": "revenue" if seed // 2 % 2 else "margin",
        },
    )
    settings = sequence.variables | {"shop": seed % SHOPS}
    kept = folder / "_".join(["first", *map(str, settings.values())]).replace(" ", "")
    for number, name in enumerate(["begin", *steps]):
        sequence.rng = np.random.default_rng([seed, number])
        sequence.runs = []
        start, wrong = time.monotonic(), ""
        try:
            if number:
                getattr(sequence, f"step_{name}")()
            elif sequence.warehouse.has_twins and kept.exists():
                shutil.copy(kept / "warehouse.duckdb", place)
                sequence.last = Run("monthly_refit", START, sequence.variables)
                sequence.full_on = START
                sequence.check_served(sequence.last)
            else:
                sequence.begin()
                if sequence.warehouse.has_twins:
                    sequence.warehouse.copy(kept)
            sequence.copies.append(sequence.warehouse.copy(place / f"after_{number}"))
        except WrongError as error:
            wrong = str(error)
        seconds = time.monotonic() - start
        runs = ", ".join(
            f"{r.kind} {r.as_of:%F} rc {r.code} {r.seconds:.0f} s "
            f"({r.processor_seconds:.0f})"
            for r in sequence.runs
        )
        say(f"{seed:>5} {number:>2} {name:<16} {seconds:>4.0f} s  {runs}")
        for run in sequence.runs:
            if run.code > 0:
                say(f"          refused: {run.said}")
        if wrong:
            say(f"          BROKEN: seed {seed}, step {number} {name}: {wrong}")
            return f"seed {seed}, step {number} ({','.join(steps[:number])}): {wrong}"
    return ""


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first sequence")
    parser.add_argument("--sequences", type=int, default=1, help="seeds from there on")
    parser.add_argument("--steps", type=int, default=7, help="of each sequence")
    parser.add_argument("--until", type=int, help="replay the first steps of one seed")
    parser.add_argument("--play", help="names of steps instead, with commas between")
    parser.add_argument("--target", choices=list(WAREHOUSES), default="duckdb")
    parser.add_argument("--folder", type=Path, help="default: a scratch folder")
    options = parser.parse_args(arguments)
    start, wrong = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="clv_sequences_") as scratch:
        folder = options.folder or Path(scratch)
        shutil.rmtree(folder / "project", ignore_errors=True)
        (folder / "project").mkdir(parents=True)
        project, dbt, known = make_project(folder / "project"), Dbt(), offered()
        for seed in range(options.seed, options.seed + options.sequences):
            steps = drawn(seed, options.until or options.steps, known)
            if options.play:
                steps = options.play.split(",")
            found = play_sequence(seed, steps, project, folder, dbt, options.target)
            wrong += [found] * bool(found)
            if not options.until and not found:
                shutil.rmtree(folder / f"seed_{seed}")
    for line in wrong:
        print(f"BROKEN: {line}")
    print(
        f"{options.sequences} sequences, {len(wrong)} broken, "
        f"{time.monotonic() - start:.0f} s."
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
