r"""Ship changed segment rows to Salesforce, and keep the evidence.

The warehouse decides what changes (export_marketing_cloud__delta); this carries it: a
chunk at a time, intent written before, outcome after the destination confirmed. So a
run may die anywhere: the next one ships what is not proven to have arrived, and an
upsert done twice is done once. A customer who leaves the audience is blanked and made
inactive. Removals go first.

Login, from the environment (a value sm://PROJECT/NAME is looked up in Secret Manager):

\b
  crm   SF_DOMAIN, SF_CONSUMER_KEY, and SF_CONSUMER_SECRET or
        SF_USERNAME with SF_PRIVATE_KEY_FILE; SF_OBJECT (Customer_Segment__c)
  sfmc  SFMC_SUBDOMAIN, SFMC_CLIENT_ID, SFMC_CLIENT_SECRET, SFMC_ACCOUNT_ID;
        SFMC_DATA_EXTENSION (clv_segments)

The warehouse is the one profiles.yml describes, by the same environment variables.

\b
Exit codes
  0    all done, or nothing to do
  1    some rows were refused, or got no verdict; they are in export_ledger
  2    something is set or built wrongly
  3    the login was refused
  4    the destination did not answer in the end: run again
  5    a guard tripped: too many removals, too many rows refused, or an audience of
       another log, or as of an earlier day, than the one shipped last
  6    another run, or a build, is at work
  70   a fault of this script
  130  interrupted; the chunk under way was finished
"""

import hashlib
import json
import os
import secrets as random_digits
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import duckdb
from export_transports import (
    COLUMNS,
    KEY,
    TRANSPORTS,
    BusyError,
    ConfigError,
    ExportError,
    GuardError,
    Outcome,
    Patience,
    Transport,
    UnavailableError,
)
from export_warehouse import PROJECT, BigQuery, DuckDb, now, open_warehouse
from tqdm import tqdm

# What the delta has besides the columns that are shipped.
CONTROL = ("target", "op", "change", "row_hash", "has_consent", "is_quarantined")
PAGE = 5_000
DEMO_SALT = "clv-demo"  # of dbt_project.yml: everybody knows it
FAMILY = 8  # logs of one shop have ids that start with the same characters
FEW = 20  # so many removals or refusals are never too many
TALLY = ("shipped", "removed", "rejected", "transient")
OPEN_MINUTES = 60  # without a sign of life, an open run has died
INTERRUPTED = 130


class Settings(NamedTuple):
    """What the options say."""

    target: str
    full: bool
    limit: int | None
    max_remove_pct: float
    max_reject_pct: float
    retry_rejected: bool
    accept_audience: bool


def say(text: str) -> None:
    """Print a line for people; the standard output is the report's."""
    tqdm.write(text, file=sys.stderr)


def git_commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() or None


class Chunk:
    """Rows that go together."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.lines: list[bytes] = []
        self.bytes = 0

    def add(self, row: dict[str, Any], line: bytes) -> None:
        """Take in a row and what is sent of it."""
        self.rows.append(row)
        self.lines.append(line)
        self.bytes += len(line) + 1

    @property
    def keys(self) -> list[str]:
        """Keys of the rows, in their order."""
        return [row[KEY.name] for row in self.rows]


FRAME = 100  # bytes around the rows of a request, at most; a CSV header may be longer


def chunks(rows: Iterator[dict[str, Any]], transport: Transport) -> Iterator[Chunk]:
    """Cut rows by number and bytes."""
    room = transport.max_bytes - FRAME - sum(len(c.crm) + 1 for c in COLUMNS)
    chunk = Chunk()
    for row in rows:
        line = transport.encode(row)
        if len(line) + 1 > room:
            raise ConfigError("a row is larger than a request may be")
        full = len(chunk.rows) == transport.max_rows
        if full or chunk.bytes + len(line) + 1 > room:
            yield chunk
            chunk = Chunk()
        chunk.add(row, line)
    if chunk.rows:
        yield chunk


class Sync:
    """One run for one target."""

    def __init__(self, warehouse: DuckDb | BigQuery, settings: Settings):
        self.warehouse, self.settings = warehouse, settings
        self.run_id = f"{now():%Y%m%dT%H%M%S}-{random_digits.token_hex(4)}"
        self.delta = warehouse.relation("export", "export_marketing_cloud__delta")
        self.audience = warehouse.relation("export", "export_marketing_cloud__audience")
        self.log_id, self.as_of_date = None, None
        self.counts: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.jobs = 0
        self.is_interrupted = False

    # What the warehouse says.

    def check_columns(self) -> None:
        """Refuse a delta with columns that nobody allowed to leave."""
        found = set(self.warehouse.columns(self.delta))
        allowed = {column.name for column in COLUMNS} | set(CONTROL)
        if extra := sorted(found - allowed):
            raise ConfigError(f"the delta has unknown columns: {', '.join(extra)}")
        if missing := sorted(allowed - found):
            raise ConfigError(f"the delta lacks columns: {', '.join(missing)}")

    def check_salt(self) -> None:
        """Refuse keys that anybody can guess from customer ids."""
        found = self.warehouse.rows(
            f"select customer_id, {KEY.name} from "
            + self.warehouse.relation("export", "export_marketing_cloud__candidates")
            + " limit 1"
        )
        for row in found:
            guess = f"{DEMO_SALT}|{row['customer_id']}".encode()
            if hashlib.sha256(guess).hexdigest() == row[KEY.name]:
                raise ConfigError(
                    "customer_key is made with the demo's salt, which everybody knows: "
                    "set CLV_EXPORT_SALT, build again, then ship"
                )

    def plan(self) -> dict[str, Any]:
        """Count what would happen, and refuse what must not."""
        target = self.settings.target
        rows = self.warehouse.rows(
            f"select change, count(*) as n, count(distinct {KEY.name}) as keys, "
            "sum(case when is_quarantined then 1 else 0 end) as quarantined "
            f"from {self.delta} where target = '{target}' group by 1"
        )
        segments = self.warehouse.rows(
            f"select clv_segment, count(*) as n from {self.audience} "
            "group by 1 order by 2 desc"
        )
        excluded = self.warehouse.rows(
            "select exclusion_reason, customers, as_of_date, log_id from "
            + self.warehouse.relation("export", "export_marketing_cloud__exclusions")
        )
        self.log_id, self.as_of_date = excluded[0]["log_id"], excluded[0]["as_of_date"]
        shipped = self.warehouse.rows(
            "select count(*) as n from "
            + self.warehouse.relation("export", "export_marketing_cloud__shipped")
            + f" where target = '{target}' and shipped_op = 'upsert'"
        )[0]["n"]
        changes = {row["change"]: row["n"] for row in rows}
        if any(row["n"] != row["keys"] for row in rows):
            raise ConfigError("the delta holds a customer_key twice")
        audience = sum(row["n"] for row in segments)
        new, changed = changes.get("new", 0), changes.get("changed", 0)
        return {
            "audience": audience,
            "shipped_before": shipped,
            "new": new,
            "changed": changed,
            "removed": changes.get("removed", 0),
            "unchanged": audience - new - changed,
            "quarantined": int(sum(row["quarantined"] or 0 for row in rows)),
            "excluded": {
                row["exclusion_reason"]: row["customers"]
                for row in excluded
                if row["exclusion_reason"] != "none"
            },
            "segments": {row["clv_segment"]: row["n"] for row in segments},
        }

    def guard(self, plan: dict[str, Any]) -> None:
        """Refuse another audience than the last, and to remove too many customers."""
        if not self.settings.accept_audience:
            self.guard_audience()
        limit = self.settings.max_remove_pct
        removed, shipped = plan["removed"], plan["shipped_before"]
        if removed > FEW and removed * 100 > limit * shipped:
            raise GuardError(
                f"{removed:,} of {shipped:,} customers would be removed, more than "
                f"{limit:g} %: nothing was shipped; if it is right, say so with "
                "--max-remove-pct"
            )

    def guard_audience(self) -> None:
        """Refuse another shop's audience, and one as of an earlier day, unasked."""
        target = self.settings.target
        last = self.warehouse.rows(
            "select log_id, as_of_date from "
            + self.warehouse.relation("state", "export_runs")
            + f" where target = '{target}' and event = 'started' "
            "order by recorded_at desc limit 1"
        )
        advice = "nothing was shipped; if it is right, say so with --accept-audience"
        for run in last:
            if run["log_id"] and run["log_id"][:FAMILY] != self.log_id[:FAMILY]:
                raise GuardError(
                    f"the audience is of log {self.log_id}, and {target} holds one of "
                    f"log {run['log_id']}, another shop: {advice}"
                )
            if run["as_of_date"] and self.as_of_date < run["as_of_date"]:
                raise GuardError(
                    f"the audience is as of {self.as_of_date}, before the one shipped "
                    f"last, as of {run['as_of_date']}: {advice}"
                )

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield what to ship, removals first, in the order of keys."""
        names = ["op", "row_hash", "has_consent", *(column.name for column in COLUMNS)]
        sql = (
            f"select {', '.join(names)} from {self.delta} "
            f"where target = '{self.settings.target}'"
        )
        if not self.settings.retry_rejected:
            sql += " and not is_quarantined"
        if self.settings.full:
            constants = {"op": "'upsert' as op", "is_active": "true as is_active"}
            whole = ", ".join(constants.get(name, name) for name in names)
            sql += f" and op = 'remove' union all select {whole} from {self.audience}"
        sql += f" order by op, {KEY.name}"
        if self.settings.limit is not None:
            sql += f" limit {self.settings.limit}"
        for page in self.warehouse.pages(sql, PAGE):
            for row in page:
                if row["op"] != "remove" and row["has_consent"] is not True:
                    raise ConfigError("the delta holds a customer without consent")
                yield row

    # What is written.

    def append(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Add rows to a table of state."""
        self.jobs += 1
        job = f"clv_{table}_{self.run_id}_{self.jobs}"
        self.warehouse.append(table, rows, job)

    def event(self, event: str, exit_code: int | None = None) -> None:
        """Record that the run started or ended."""
        ended = event == "ended"
        counts = {
            f"{name}_rows": self.counts[name] if ended else None for name in TALLY
        }
        self.append(
            "export_runs",
            [
                {
                    "run_id": self.run_id,
                    "target": self.settings.target,
                    "event": event,
                    "mode": "full" if self.settings.full else "delta",
                    "exit_code": exit_code,
                    **counts,
                    "git_commit": git_commit(),
                    "log_id": self.log_id,
                    "as_of_date": self.as_of_date,
                    "recorded_at": now(),
                }
            ],
        )

    def record(self, rows: list[dict[str, Any]], outcomes: list[Outcome]) -> None:
        """Record what became of rows."""
        time_of_all = now()
        self.append(
            "export_ledger",
            [
                {
                    "run_id": self.run_id,
                    "target": self.settings.target,
                    "customer_key": row[KEY.name],
                    "op": row["op"],
                    "row_hash": row["row_hash"],
                    "is_shipped": outcome.ok,
                    "is_transient": outcome.transient,
                    "code": outcome.code,
                    "log_id": self.log_id,
                    "recorded_at": time_of_all,
                }
                for row, outcome in zip(rows, outcomes, strict=True)
            ],
        )

    # One run at a time.

    def others(self) -> list[str]:
        """Return the runs that are open and show signs of life."""
        if self.warehouse.is_exclusive:
            return []
        runs = self.warehouse.relation("state", "export_runs")
        ledger = self.warehouse.relation("state", "export_ledger")
        found = self.warehouse.rows(
            "with signs as (select run_id, event, recorded_at "
            f"from {runs} where target = '{self.settings.target}' "
            "union all select run_id, 'sent' as event, recorded_at "
            f"from {ledger} where target = '{self.settings.target}') "
            "select run_id, max(recorded_at) as last_at from signs group by 1 "
            "having max(case when event = 'ended' then 1 else 0 end) = 0"
        )
        return [
            row["run_id"]
            for row in found
            if row["run_id"] != self.run_id
            and (now() - row["last_at"].replace(tzinfo=None)).total_seconds()
            < OPEN_MINUTES * 60
        ]

    def enter(self) -> None:
        """Claim the target; two that claim it at once both give way."""
        if others := self.others():
            raise BusyError(f"run {others[0]} is at work")
        self.event("started")
        if others := self.others():
            self.event("ended", BusyError.exit_code)
            raise BusyError(f"run {others[0]} is at work")

    # The run.

    def interrupt(self, *_: Any) -> None:
        """Stop after the chunk under way; at once when asked again."""
        if self.is_interrupted:
            raise KeyboardInterrupt
        self.is_interrupted = True
        say("interrupted: finishing the chunk under way")

    def ship(self, transport: Transport, expected: int) -> int:
        """Ship everything; return the exit code."""
        bar = tqdm(total=expected, unit="row", disable=not sys.stderr.isatty())
        with bar:
            for number, chunk in enumerate(chunks(self.rows(), transport), 1):
                outcomes = self.ship_chunk(transport, chunk)
                tally = Counter(
                    "shipped"
                    if outcome.ok and row["op"] == "upsert"
                    else "removed"
                    if outcome.ok
                    else "transient"
                    if outcome.transient
                    else "rejected"
                    for row, outcome in zip(chunk.rows, outcomes, strict=True)
                )
                codes = Counter(o.code for o in outcomes if not o.ok)
                self.counts += tally
                self.codes += codes
                self.counts["requests"] += 1
                self.counts["bytes"] += chunk.bytes
                bar.update(len(chunk.rows))
                if bar.disable:
                    told = [f"{n:,} {what}" for what, n in sorted(tally.items())]
                    told += [f"{n:,} times {code}" for code, n in sorted(codes.items())]
                    say(f"chunk {number}: {', '.join(told)}")
                if self.is_interrupted:
                    return INTERRUPTED
        return 1 if self.counts["rejected"] or self.counts["transient"] else 0

    def ship_chunk(self, transport: Transport, chunk: Chunk) -> list[Outcome]:
        """Send a chunk, what is transient twice, and record it before and after."""
        self.record(
            chunk.rows, [Outcome(False, "sent", transient=True)] * len(chunk.rows)
        )
        outcomes = transport.send(chunk.keys, chunk.lines)
        again = [i for i, outcome in enumerate(outcomes) if outcome.transient]
        if again:
            second = transport.send(
                [chunk.keys[i] for i in again], [chunk.lines[i] for i in again]
            )
            for i, outcome in zip(again, second, strict=True):
                outcomes[i] = outcome
        refused = [o for o in outcomes if not o.ok and not o.transient]
        limit = self.settings.max_reject_pct * len(outcomes)
        is_systematic = len(refused) == len(outcomes) > 1 or (
            len(refused) > FEW and len(refused) * 100 > limit
        )
        if is_systematic:
            # Not the rows' fault: recorded as such, so that none is quarantined.
            outcomes = [o if o.ok else o._replace(transient=True) for o in outcomes]
        self.record(chunk.rows, outcomes)
        if is_systematic:
            codes = ", ".join(sorted({o.code for o in refused}))
            raise GuardError(
                f"{len(refused):,} of {len(outcomes):,} rows were refused ({codes}): "
                "stopped, nothing more was shipped"
            )
        return outcomes

    def report(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Return what the run found and did."""
        return {
            "run_id": self.run_id,
            "target": self.settings.target,
            **plan,
            **{f"{name}_rows": self.counts[name] for name in TALLY},
            "requests": self.counts["requests"],
            "bytes": self.counts["bytes"],
            "codes": dict(self.codes),
        }


def open_transport(target: str, patience: Patience) -> Transport:
    return TRANSPORTS[target](patience)


def rehearse(sync: Sync, transport: type) -> tuple[dict[str, Any], int]:
    """Say what would be shipped; asks the destination nothing."""
    plan = sync.plan()
    for chunk in chunks(sync.rows(), transport):
        sync.counts["requests"] += 1
        sync.counts["bytes"] += chunk.bytes
    would = ", ".join(
        f"{plan[name]:,} {name}"
        for name in ("new", "changed", "removed", "unchanged", "quarantined")
    )
    say(f"would ship: {would}")
    for reason, customers in plan["excluded"].items():
        say(f"left out: {customers:,} {reason}")
    for segment, customers in plan["segments"].items():
        say(f"audience: {customers:,} {segment}")
    say(f"columns: {', '.join(column.name for column in COLUMNS)}")
    say(f"{sync.counts['requests']:,} requests, {sync.counts['bytes']:,} bytes")
    try:
        sync.guard(plan)
    except GuardError as error:
        say(f"not allowed: {error}")
        return plan, error.exit_code
    return plan, 0


def run(sync: Sync, transport: Transport) -> tuple[dict[str, Any], int]:
    """Ship the delta; the state says whatever comes of it."""
    sync.check_salt()
    plan = sync.plan()
    sync.guard(plan)
    expected = plan["new"] + plan["changed"] + plan["removed"]
    if not sync.settings.retry_rejected:
        expected -= plan["quarantined"]
    if sync.settings.full:
        expected = plan["audience"] + plan["removed"]
    if not expected:
        say("nothing to do")
        return plan, 0
    transport.login()
    if misfits := transport.check():
        raise ConfigError("; ".join(misfits))
    sync.enter()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, sync.interrupt)
    code = ExportError.exit_code
    try:
        code = sync.ship(transport, expected)
    except ExportError as error:
        code = error.exit_code
        raise
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        sync.event("ended", code)
    return plan, code


# Click keeps the lines of what follows this character.
@click.command(help=__doc__.replace("\\b", "\b"))
@click.option("--target", type=click.Choice(list(TRANSPORTS)), required=True)
@click.option(
    "--warehouse",
    default=lambda: os.environ.get("CLV_TARGET", "duckdb"),
    type=click.Choice(
        ["duckdb", "bigquery", "bigquery_pal", "emulator", "emulator_pal"]
    ),
    help="Target of profiles.yml; default: CLV_TARGET, else duckdb.",
)
@click.option("--dry-run", is_flag=True, help="Count, ship nothing, write nothing.")
@click.option("--check", is_flag=True, help="Log in, compare the columns, and end.")
@click.option("--create", is_flag=True, help="With --check: create what is missing.")
@click.option("--full", is_flag=True, help="Ship the whole audience, not the changes.")
@click.option("--limit", type=click.IntRange(1), help="Ship so many rows at most.")
@click.option(
    "--max-remove-pct",
    default=20.0,
    show_default=True,
    help=f"Stop where more would be removed, and more than {FEW} rows.",
)
@click.option(
    "--max-reject-pct",
    default=5.0,
    show_default=True,
    help=f"Stop where more of a chunk is refused, and more than {FEW} rows.",
)
@click.option("--retry-rejected", is_flag=True, help="Ship quarantined rows too.")
@click.option(
    "--accept-audience",
    is_flag=True,
    help="Ship another shop's audience than the last, or one as of an earlier day.",
)
@click.option("--json", "as_json", is_flag=True, help="End with a line of JSON.")
@click.option("--pause", default=2.0, show_default=True, help="Seconds between tries.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds for a call.")
@click.option(
    "--deadline", default=900.0, show_default=True, help="Seconds for a chunk."
)
def main(
    target: str,
    warehouse: str,
    dry_run: bool,
    check: bool,
    create: bool,
    as_json: bool,
    pause: float,
    timeout: float,
    deadline: float,
    **settings: Any,
) -> None:
    started = time.monotonic()
    report: dict[str, Any] = {"target": target}
    code, opened = 0, None
    try:
        if create and not check:
            raise ConfigError("--create goes with --check")
        if check:
            transport = open_transport(target, Patience(pause, timeout, deadline))
            transport.login()
            misfits = transport.check(create)
            for misfit in misfits:
                say(misfit)
            code = ConfigError.exit_code if misfits else 0
            say("it does not fit" if misfits else "login and columns are right")
        else:
            opened = open_warehouse(warehouse, read_only=dry_run)
            sync = Sync(opened, Settings(target, **settings))
            sync.check_columns()
            if dry_run:
                plan, code = rehearse(sync, TRANSPORTS[target])
            else:
                transport = open_transport(target, Patience(pause, timeout, deadline))
                plan, code = run(sync, transport)
            report = sync.report(plan)
    except ExportError as error:
        say(f"{error}")
        code = error.exit_code
    except duckdb.OutOfMemoryException:
        say("the delta needs more memory: set CLV_EXPORT_MEMORY, such as 500MB")
        code = ConfigError.exit_code
    except duckdb.Error as error:
        say(f"the warehouse failed: {type(error).__name__}")
        code = UnavailableError.exit_code
    except Exception as error:
        # Its message may hold a customer's value or a secret: only where it happened.
        trace = error.__traceback__
        while trace.tb_next:
            trace = trace.tb_next
        where = Path(trace.tb_frame.f_code.co_filename).name
        say(f"failed with {type(error).__name__} at {where}:{trace.tb_lineno}")
        code = ExportError.exit_code
    finally:
        if opened:
            opened.close()
    report |= {"exit_code": code, "seconds": round(time.monotonic() - started, 1)}
    if as_json:
        print(json.dumps(report))
    sys.exit(code)


if __name__ == "__main__":
    main()
