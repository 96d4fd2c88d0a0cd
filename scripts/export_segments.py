r"""Ship changed segment rows to Salesforce, and keep the evidence.

The warehouse decides what changes (export_marketing_cloud__delta); this carries it: a
chunk at a time, intent written before, what the destination calls the request as soon
as it says so, outcome after it confirmed. So a run may die anywhere: the next one waits
until nothing of it is under way, and ships what is not proven to have arrived; an
upsert done twice is done once. A customer who leaves the audience is blanked and made
inactive. Removals go first.

The destination is Marketing Cloud Engagement (sfmc) or Salesforce (crm). Keys there are
HMACs of customer ids, made here with CLV_EXPORT_SECRET (32 characters or more), or the
tenant's own (variable clv_export_key). From the environment (a value sm://PROJECT/NAME
is looked up in Secret Manager):

\b
  crm   SF_DOMAIN, SF_CONSUMER_KEY, and SF_CONSUMER_SECRET or
        SF_USERNAME with SF_PRIVATE_KEY_FILE; SF_OBJECT (Customer_Segment__c)
  sfmc  SFMC_SUBDOMAIN, SFMC_CLIENT_ID, SFMC_CLIENT_SECRET, SFMC_ACCOUNT_ID;
        SFMC_DATA_EXTENSION (clv_segments); SFMC_FOLDER_ID for --create

The warehouse is the one profiles.yml describes, by the same environment variables.

\b
Exit codes
  0    all done, or nothing to do
  1    some rows were refused, or got no verdict; they are in export_ledger
  2    something is set or built wrongly
  3    the login was refused
  4    the destination, or the warehouse, did not answer in the end: run again
  5    a guard tripped: too many removals, additions or refusals, consents that are
       unclear or lost, an audience that is too old, of an earlier day or another log
       than the one shipped last, or a destination that is not as the ledger says
  6    another run, or a build, is at work
  70   a fault of this script
  130  interrupted; the chunk under way was finished
"""

import datetime
import hashlib
import hmac
import itertools
import json
import os
import secrets as random_digits
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import duckdb
import export_warehouse as warehouses
from export_transports import (
    COLUMNS,
    KEY,
    REFUSED,
    RESENT,
    TRANSPORTS,
    BusyError,
    ConfigError,
    ExportError,
    GuardError,
    Outcome,
    Patience,
    RefusedError,
    Transport,
    UnavailableError,
    canonical,
    secret,
)
from export_warehouse import STATE, TALLY, TEXT, BigQuery, DuckDb, open_warehouse
from small_cells import FEWEST
from tqdm import tqdm

Row = dict[str, Any]
# What the delta has besides the columns that are shipped.
CONTROL = ("customer_id", "customer_key", "key_id", "op", "change", "is_withdrawal")
CONTROL += ("row_hash", "has_consent", "is_quarantined")
RELATIONS = ("audience", "candidates", "shipped", "delta", "exclusions")
RELATIONS += ("consent_checks",)
PAYLOAD = tuple(column.name for column in COLUMNS if column is not KEY)
SECRET, SHORTEST, VARIED = "CLV_EXPORT_SECRET", 32, 9
OWN_LENGTH = 254  # characters of a key that subscribers have, at most
FAMILY = 8  # logs of one shop have ids that start with the same characters
FEW = 20  # so many refusals of a chunk are never too many
FRAME = 100  # bytes around the rows of a request, at most; a CSV header may be longer
LEASE, RENEWAL = 300, 60  # seconds for which a sign of life holds, and between two
SETTLED = "settled"  # noted instead of an id: nothing of the chunk is under way
FOUND = 20_000  # rows of the ledger at once, of what was found
MODES = ("full", "withdrawals", "reconcile", "rotate_key", "erase")
ERASED = 100  # rows deleted at once
LOST = ("consents_are_lost", "refusals_are_lost", "statuses_are_lost")
MAY_BE_ACCEPTED = dict.fromkeys(LOST, "accept_consents")
MAY_BE_ACCEPTED["statements_are_about_nobody"] = "accept_nobody"
INTERRUPTED = 130

# All that is due. Its stages: removals; moves from one key to another; the rest.
PLAN = """
with delta as (
    select * from {delta}
    where target = '{target}' and ('{mode}' != 'withdrawals' or is_withdrawal)
),
old as (
    select * from {shipped}
    where
        '{mode}' in ('full', 'rotate') and target = '{target}'
        and customer_id is not null and (shipped_op = 'upsert' or is_uncertain)
        and coalesce(key_id, '') != '{key_id}'
),
owners as (select distinct customer_id from old),
planned as (
    select {names} from delta
    where op = 'remove' or '{mode}' not in ('full', 'rotate')
    union all
    select
        old.customer_id, old.customer_key, old.key_id, 'remove', 'removed', false,
        'removed', false, false, {blank}
    from old
    left join delta on old.customer_key = delta.customer_key and delta.op = 'remove'
    where delta.customer_key is null
    union all
    select
        audience.customer_id, {own}, cast(null as string), 'upsert',
        coalesce(delta.change, 'unchanged'), false, audience.row_hash,
        audience.has_consent, coalesce(delta.is_quarantined, false), {payload}
    from {audience} as audience
    left join delta on audience.customer_id = delta.customer_id and delta.op = 'upsert'
    left join owners on audience.customer_id = owners.customer_id
    where
        '{mode}' = 'full' or '{mode}' = 'rotate'
        and (delta.customer_id is not null or owners.customer_id is not null)
),
movers as (
    select customer_id from planned where customer_id is not null
    group by customer_id having min(op) != max(op)
),
-- Joins and not windows: they need less memory.
doubles as (
    select op, lower(case when op = 'remove' then customer_key else {key} end) as name
    from planned group by op, name having count(*) > 1
)
select
    planned.*,
    doubles.name is not null as is_double,
    case
        when movers.customer_id is not null then 1
        when planned.op = 'remove' then 0
        else 2
    end as stage
from planned
left join movers on planned.customer_id = movers.customer_id
left join doubles
    on planned.op = doubles.op and doubles.name = lower(
        case when planned.op = 'remove' then planned.customer_key else planned.{key} end
    )
order by stage, planned.customer_id, planned.op
"""
KNOWN = """
select
    sum(case when shipped_op = 'upsert' or is_uncertain then 1 else 0 end) as active,
    sum(case when shipped_op is not null and shipped_hash != 'absent' then 1 else 0 end)
        as proven,
    sum(
        case when is_uncertain and coalesce(shipped_hash, 'absent') = 'absent'
        then 1 else 0 end
    ) as doubtful,
    sum(
        case when shipped_op = 'upsert' and is_newest
        and coalesce(key_id, '') != '{key_id}' then 1 else 0 end
    ) as otherwise
from {shipped} where target = '{target}'
"""
RUNS = """
select
    run_id, coalesce(max(run_number), 0) as number, max(recorded_at) as last_at,
    max(case when event = 'ended' then 1 else 0 end) as has_ended,
    max(case when event = 'ended' then exit_code end) as exit_code, {now} as now
from {runs} where target = '{target}' group by run_id
"""
FINISHED = """
select run_id from {runs}
where
    event = 'ended' and exit_code in (0, 1) and target = '{target}'
    and mode in ('delta', 'full', 'rotate')
limit 1
"""
INTENTS = """
select
    run_id, run_number, chunk, max(recorded_at) as recorded_at,
    max(case when code = 'sent' then 0 else 1 end) as has_outcome
from {ledger} where {recent} and code != 'found' group by run_id, run_number, chunk
"""
# A request older than a day is not under way.
RECENT = "target = '{target}' and recorded_at > {now} - interval 1 day and run_id != "
# What the destination holds against what the ledger and the audience know. A removed
# row keeps its date, and nothing else; keys regard no case.
COMPARED = """
with compared as (
    select
        coalesce(there.customer_key, known.customer_key) as customer_key,
        coalesce(wanted.customer_id, known.customer_id) as customer_id,
        case when wanted.customer_id is null then known.key_id else $key_id end
            as key_id,
        case when there.is_blank = 'False' then 'upsert' else 'remove' end as op,
        case
            when there.customer_key is null then 'absent'
            when there.is_blank = 'True' then 'removed'
            when there.digest = wanted.digest then wanted.row_hash
            else 'found'
        end as row_hash,
        known.shipped_op,
        known.shipped_hash,
        known.is_uncertain
    from there
    full outer join known on lower(there.customer_key) = lower(known.customer_key)
    left join wanted
        on lower(wanted.customer_key)
        = lower(coalesce(there.customer_key, known.customer_key))
)
select customer_id, customer_key, key_id, op, row_hash
from compared
where
    coalesce(is_uncertain, 'true') = 'true' or op is distinct from shipped_op
    or row_hash is distinct from shipped_hash
"""


def say(text: str) -> None:
    """Print a line for people; the standard output is the report's."""
    tqdm.write(text, file=sys.stderr)


def plain(time_of: datetime.datetime) -> datetime.datetime:
    """Return a time in UTC without its zone, as DuckDB keeps it."""
    return time_of.replace(tzinfo=None)


def elapsed() -> float:
    """Return seconds of a clock that nobody sets, and that goes on in sleep."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def git_commit() -> str | None:
    command = ["git", "-C", str(warehouses.PROJECT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return None


class Keys:
    """Which key a customer has at the destination.

    Attributes:
        id: which secret makes them; None where there is none.
    """

    def __init__(self, kind: str):
        self.is_own, self.id, self.secret = kind == "subscriber_key", None, b""
        if self.is_own:
            self.id = kind
        elif found := secret(SECRET, required=False):
            is_repeated = found in (found + found)[1:-1]
            if len(found) < SHORTEST or len(set(found)) < VARIED or is_repeated:
                raise ConfigError(
                    f"{SECRET} needs {SHORTEST} characters, by chance: "
                    "openssl rand -hex 32 makes some"
                )
            self.secret = found.encode()
            self.id = self.digest("clv")[:8]

    def digest(self, text: str) -> str:
        """Return the HMAC of a text."""
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()

    def of(self, row: Row, name: str = "subscriber_key") -> str:
        """Return the key that a customer should have; `name` has the tenant's own."""
        return row[name] if self.is_own else self.digest(row["customer_id"])


def chunks(rows: Iterable[Row], transport: Any) -> Iterator[list[Row]]:
    """Cut rows by number and bytes; what is sent of a row becomes its `line`."""
    room = transport.max_bytes - FRAME - sum(len(c.crm) + 1 for c in COLUMNS)
    chunk, size = [], 0
    for row in rows:
        row["line"] = transport.encode(row)
        length = len(row["line"]) + 1
        if length > room:
            raise ConfigError("a row is larger than a request may be")
        if len(chunk) == transport.max_rows or size + length > room:
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += length
    if chunk:
        yield chunk


class Sync:
    """One run for one target."""

    def __init__(self, warehouse: DuckDb | BigQuery, settings: SimpleNamespace):
        self.warehouse, self.settings = warehouse, settings
        self.target, self.mode = settings.target, settings.mode
        self.counts, self.codes = Counter(), Counter()
        self.jobs, self.chunk, self.blocked = 0, 0, set()
        self.is_interrupted, self.exit_code = False, 0
        self.names = {
            name: warehouse.relation("export", f"export_marketing_cloud__{name}")
            for name in RELATIONS
        } | {name[7:]: warehouse.relation("state", name) for name in STATE}
        self.names["deletions"] = warehouse.relation("state", "export_deletions")
        self.names |= {"target": self.target, "mode": self.mode, "now": warehouse.now}
        self.check_columns()
        exclusions = self.ask("select *, {now} as now from {exclusions}")
        self.excluded = {r["exclusion_reason"]: r["customers"] for r in exclusions}
        self.facts = exclusions[0]
        self.keys = Keys(self.facts["export_key"])
        self.names["key_id"] = self.keys.id
        self.zero, self.start = elapsed(), plain(self.facts["now"])
        self.run_id = f"{self.start:%Y%m%dT%H%M%S}-{random_digits.token_hex(4)}"
        self.beaten, self.number = self.zero, None
        self.known = max((run["number"] for run in self.runs()), default=0)
        self.checks = []
        if self.mode not in ("withdrawals", "erase"):
            self.read_checks()

    # What the warehouse says.

    def ask(self, sql: str, **names: Any) -> list[Row]:
        """Return all rows of a small query, its names filled in."""
        return self.warehouse.rows(sql.format(**self.names, **names))

    def now(self) -> datetime.datetime:
        """Return the warehouse's time, by no clock that somebody sets."""
        return self.start + datetime.timedelta(seconds=elapsed() - self.zero)

    def check_columns(self) -> None:
        """Refuse columns that nobody allowed to leave, and tables that lack some."""
        needed = {name[7:]: set(columns) for name, columns in STATE.items()}
        needed["delta"] = {*CONTROL, *PAYLOAD, "target"}
        for name, columns in needed.items():
            found = set(self.warehouse.columns(self.names[name]))
            if missing := ", ".join(sorted(columns - found)):
                raise ConfigError(f"the {name} lacks columns, build first: {missing}")
            if name == "delta" and (extra := ", ".join(sorted(found - columns))):
                raise ConfigError(f"the delta has unknown columns: {extra}")

    def require_key(self) -> None:
        """Refuse to go on without keys."""
        if not self.keys.id and self.mode != "withdrawals":
            raise ConfigError(f"environment variable {SECRET} is not set")

    def plan(self) -> dict[str, Any]:
        """Read what is due, once, and count it."""
        found = self.ask(KNOWN)[0]
        self.held = {name: int(value or 0) for name, value in found.items()}
        moves = self.mode in ("rotate", "withdrawals")
        if self.held["otherwise"] and self.keys.id and not moves:
            raise ConfigError(
                f"{self.held['otherwise']:,} customers have keys made otherwise, with "
                f"another {SECRET} or clv_export_key: --rotate-key moves them"
            )
        segments = self.mode != "withdrawals" and self.ask(
            "select clv_segment, count(*) as n from {audience} group by 1 "
            "order by 2 desc"
        )
        blanks = {"Text": "''", "Number": "0", "Boolean": "false"}
        blank = {column.name: blanks[column.kind] for column in COLUMNS[1:]}
        blank["as_of_date"] = f"'{self.facts['as_of_date']}'"
        plan = PLAN.format(
            **self.names,
            names=", ".join((*CONTROL, *PAYLOAD)),
            blank=", ".join(blank.values()),
            payload=", ".join(f"audience.{name}" for name in PAYLOAD[:-1]) + ", true",
            own="audience.subscriber_key"
            if self.keys.is_own
            else "cast(null as string)",
            key="customer_key" if self.keys.is_own else "customer_id",
        )
        self.pages = self.warehouse.store(plan)
        tally: Counter[str] = Counter()
        for row in itertools.chain.from_iterable(self.pages()):
            if row["is_double"]:
                raise ConfigError(
                    "two customers have the same key, or one key is twice"
                )
            is_move = row["stage"] == 1
            kind = row["change"] if row["op"] == "upsert" or not is_move else "moved"
            tally["changed" if is_move and kind == "new" else kind] += 1
            tally["quarantined"] += row["is_quarantined"]
            tally["rows"] += 1
        audience = sum(row["n"] for row in segments or [])
        names = ("new", "changed", "removed", "moved", "quarantined", "rows")
        return {name: tally[name] for name in names} | {
            "audience": audience,
            "shipped_before": self.held["active"],
            "unchanged": audience - tally["new"] - tally["changed"],
            "excluded": {n: c for n, c in self.excluded.items() if n != "none"},
            "segments": {
                row["clv_segment"]: row["n"] if row["n"] >= FEWEST else f"<{FEWEST}"
                for row in segments or []
            },
        }

    def read_checks(self) -> None:
        """Ask what is known of consents and statuses."""
        self.checks = self.ask(
            "select * from {consent_checks} where target = '{target}' order by 2"
        )

    def guard_consents(self) -> None:
        """Say what is known of consents and statuses, and refuse what is unclear."""
        faults = []
        for check in self.checks:
            flag = MAY_BE_ACCEPTED.get(check["check_name"])
            hint = f" (--{flag.replace('_', '-')})" if flag else ""
            if check["is_stopping"] and not (flag and getattr(self.settings, flag)):
                faults.append(check["sentence"] + hint)
            else:
                say(check["sentence"])
        if faults:
            raise GuardError(f"nobody is added: {'; '.join(faults)}")

    def guard(self, plan: dict[str, Any]) -> None:
        """Refuse what must not be shipped unasked."""
        if self.mode == "withdrawals":
            return
        settings, active = self.settings, self.held["active"]
        self.guard_consents()
        if not settings.accept_audience:
            for fault in self.faults_of_audience():
                raise GuardError(
                    f"{fault}: nothing was shipped; if it is right, say so with "
                    "--accept-audience"
                )
        # Until a run has shipped all that it should, the first one goes on.
        knows = self.held["proven"] + self.held["doubtful"]
        is_first = settings.is_reconciled or not (knows and self.ask(FINISHED))
        shares = {"remove": plan["removed"], "add": 0 if is_first else plan["new"]}
        for what, number in shares.items():
            limit = getattr(settings, f"max_{what}_pct")
            if number * 100 > limit * active:
                raise GuardError(
                    f"{number:,} customers would be {what.rstrip('e')}ed where "
                    f"{active:,} are active, more than {limit:g} %: nothing was "
                    f"shipped; if it is right, say so with --max-{what}-pct"
                )

    def faults_of_audience(self) -> Iterator[str]:
        """Yield why the audience is not the one to be shipped next."""
        log_id, as_of_date = self.facts["log_id"], self.facts["as_of_date"]
        hours, built = self.facts["max_age_hours"], self.facts["built_at"]
        age = (self.start - plain(built)).total_seconds() / 3600 if built else None
        if age is None:
            yield "nobody knows when the audience was built"
        elif age > hours:
            yield f"the audience is {age:,.0f} hours old, more than {hours:g}"
        for run in self.ask(
            "select log_id, as_of_date from {runs} where event = 'started' "
            "and target = '{target}' and as_of_date is not null "
            "order by coalesce(run_number, 0) desc, recorded_at desc limit 1"
        ):
            if run["log_id"] and run["log_id"][:FAMILY] != str(log_id)[:FAMILY]:
                yield (
                    f"the audience is of log {log_id}, and {self.target} holds one of "
                    f"log {run['log_id']}, another shop"
                )
            if as_of_date and as_of_date < run["as_of_date"]:
                yield (
                    f"the audience is as of {as_of_date}, before the one shipped last, "
                    f"as of {run['as_of_date']}"
                )

    def guard_destination(self, transport: Transport) -> None:
        """Refuse a destination that holds other rows than the ledger says."""
        there, proven = transport.count(), self.held["proven"]
        if not proven <= there <= proven + self.held["doubtful"]:
            raise GuardError(
                f"{self.target} holds {there:,} rows, and the ledger knows of "
                f"{proven:,}: nobody is added; --reconcile reads what is there"
            )

    def due(self) -> Iterator[Row]:
        """Yield what to ship, keys and all."""
        for row in itertools.chain.from_iterable(self.pages()):
            if row["is_quarantined"] and not self.settings.retry_rejected:
                continue
            if row["op"] == "upsert":
                if row["has_consent"] is not True:
                    raise ConfigError("the delta holds a customer without consent")
                row["customer_key"] = self.keys.of(row, "customer_key")
                row["key_id"] = self.keys.id
            yield row

    def batches(self, transport: Any) -> Iterator[list[Row]]:
        """Yield chunks: of moves, removals of a page and then its upserts."""
        rows = itertools.islice(self.due(), self.settings.limit)
        for stage, some in itertools.groupby(rows, key=lambda row: row["stage"]):
            if stage != 1:
                yield from chunks(some, transport)
                continue
            customers = itertools.groupby(some, key=lambda row: row["customer_id"])
            while page := list(
                itertools.islice(
                    (list(own) for _, own in customers), transport.max_rows
                )
            ):
                moved = list(itertools.chain.from_iterable(page))
                upserts = [row for row in moved if row["op"] == "upsert"]
                stay = {row["customer_key"] for row in upserts}
                # A key that stays is not removed: an earlier move was interrupted.
                removals = (
                    row
                    for row in moved
                    if row["op"] == "remove" and row["customer_key"] not in stay
                )
                yield from chunks(removals, transport)
                # Only of customers whose old key is known to be gone.
                sure = (r for r in upserts if r["customer_id"] not in self.blocked)
                yield from chunks(sure, transport)

    # What is written.

    def append(self, table: str, rows: list[Row]) -> None:
        """Add rows of this run to a table of state."""
        self.jobs += 1
        own = {"run_id": self.run_id, "run_number": self.number, "target": self.target}
        own |= {"log_id": self.facts["log_id"], "recorded_at": self.now()}
        job = f"clv_{table}_{self.run_id}_{self.jobs}"
        self.warehouse.append(table, [own | row for row in rows], job)

    def note(self, request: str) -> None:
        """Record what the destination calls a request of the chunk under way."""
        self.append("export_requests", [{"chunk": self.chunk, "request_id": request}])

    def record(self, rows: list[Row], outcomes: list[Outcome]) -> None:
        """Record what became of rows."""
        names = ("customer_id", "customer_key", "key_id", "op", "row_hash")
        self.append(
            "export_ledger",
            [
                {name: row[name] for name in names}
                | {"chunk": self.chunk, "is_shipped": outcome.ok}
                | {"is_transient": outcome.transient, "code": outcome.code}
                for row, outcome in zip(rows, outcomes, strict=True)
            ],
        )

    def event(self, event: str, exit_code: int | None = None) -> None:
        """Record that the run started, lives or ended, by the warehouse's clock."""
        values = {"run_id": self.run_id, "run_number": self.number, "event": event}
        values |= {"target": self.target, "mode": self.mode, "exit_code": exit_code}
        values["log_id"] = self.facts["log_id"]
        source, number = "", None
        if event == "ended":
            values |= {name: self.counts[name] for name in TALLY}
        if event == "started":
            values["git_commit"] = git_commit()
            number = "coalesce(max(run_number), 0) + 1"
            source = (
                " from (select run_number from {runs} union all "
                "select run_number from {ledger}) as numbers"
            )
            if self.checks:
                values["as_of_date"] = self.facts["as_of_date"]
                for name in ("consent_users", "refusing_users", "suppressed_users"):
                    values[name] = max(check[name] or 0 for check in self.checks)
        terms = {
            name: warehouses.literal(values.get(name), kind)
            for name, kind in STATE["export_runs"].items()
        }
        terms["recorded_at"] = "{now}"
        terms["run_number"] = number or terms["run_number"]
        names, listed = ", ".join(terms), ", ".join(terms.values())
        self.ask(f"insert into {{runs}} ({names}) select {listed}{source}")

    # One run at a time.

    def runs(self) -> list[Row]:
        """Return the other runs of the target that have not given way."""
        gave_way = BusyError.exit_code
        return [
            run | {"silent": (run["now"] - run["last_at"]).total_seconds()}
            for run in self.ask(RUNS)
            if run["run_id"] != self.run_id and run["exit_code"] != gave_way
        ]

    def enter(self) -> None:
        """Claim the target; two that claim it at once both give way."""
        for run in [] if self.warehouse.is_exclusive else self.runs():
            if not run["has_ended"] and run["silent"] < LEASE:
                seen = f"run {run['run_id']}, seen {run['silent']:.0f} s ago,"
                if not self.settings.break_lock:
                    raise BusyError(f"{seen} is at work; --break-lock takes over")
                say(f"{seen} is taken over: it sends nothing more")
        self.event("started")
        sql = "select max(run_number) as number from {runs} where run_id = '{run_id}'"
        self.number = self.ask(sql, run_id=self.run_id)[0]["number"]
        try:
            self.give_way(self.known)
        except BusyError as error:
            self.event("ended", error.exit_code)
            raise

    def give_way(self, number: int) -> None:
        """Stop where another run of a higher number than this has started."""
        if rivals := [run for run in self.runs() if run["number"] > number]:
            raise BusyError(f"run {rivals[0]['run_id']} started: nothing more is sent")

    def beat(self) -> None:
        """Show a sign of life now and then, and see whether others do."""
        if not self.warehouse.is_exclusive and elapsed() - self.beaten > RENEWAL:
            self.beaten = elapsed()
            self.give_way(self.number - 1)
            self.event("renewed")

    def work(self, transport: Transport, task: Callable[[Transport], int]) -> None:
        """Do it while the target is held; the state says how it ended."""
        self.enter()
        transport.beat = self.beat
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.interrupt)
        self.exit_code = ExportError.exit_code
        try:
            self.settle(transport)
            self.exit_code = INTERRUPTED if self.is_interrupted else task(transport)
        except ExportError as error:
            self.exit_code = error.exit_code
            raise
        except KeyboardInterrupt:
            self.exit_code = INTERRUPTED
        finally:
            self.event("ended", self.exit_code)

    def interrupt(self, *_: Any) -> None:
        """Stop after the chunk under way; at once when asked again."""
        if self.is_interrupted:
            raise KeyboardInterrupt
        self.is_interrupted = True
        say("interrupted: finishing the chunk under way")

    def settle(self, transport: Transport) -> None:
        """Wait until nothing that an earlier run sent is under way."""
        recent = RECENT.format(**self.names) + f"'{self.run_id}'"
        noted: dict[tuple, list[Row]] = {}
        for row in self.ask("select * from {requests} where {recent}", recent=recent):
            noted.setdefault((row["run_id"], row["chunk"]), []).append(row)
        deadline, over, left = self.settings.deadline, [], 0.0
        until = elapsed() + deadline
        for intent in self.ask(INTENTS, recent=recent):
            rows = noted.get((intent["run_id"], intent["chunk"]), [])
            asked = Counter(row["request_id"] for row in rows)
            ids = set(asked) - {RESENT, REFUSED, SETTLED}
            # One request for the intent, and one for each that was sent again.
            unknown = 1 + asked[RESENT] - asked[REFUSED] - len(ids)
            unknown = 0 if transport.is_keyed else unknown
            if asked[SETTLED] or (intent["has_outcome"] and unknown <= 0):
                continue
            for request in [] if intent["has_outcome"] else ids:
                if not transport.settle(request, max(0.0, until - elapsed())):
                    raise UnavailableError(
                        f"request {request} of an earlier run is not over: "
                        "nothing was shipped"
                    )
            if unknown > 0:
                last = max(plain(row["recorded_at"]) for row in (intent, *rows))
                left = max(left, deadline - (self.now() - last).total_seconds())
            names = ("run_id", "run_number", "chunk")
            over.append({n: intent[n] for n in names} | {"request_id": SETTLED})
        if left > 1:
            say(f"a request of an earlier run may be under way: waiting {left:,.0f} s")
        transport.wait(lambda: self.beat() or self.is_interrupted, min(left, deadline))
        if over and not self.is_interrupted:
            self.append("export_requests", over)

    def ship(self, transport: Transport) -> int:
        """Ship everything; return the exit code."""
        bar = tqdm(total=self.expected, unit="row", disable=not sys.stderr.isatty())
        with bar:
            for rows in self.batches(transport):
                if self.is_interrupted:
                    break
                self.chunk += 1
                self.beat()
                outcomes = self.ship_chunk(transport, rows)
                tally, codes = Counter(), Counter(o.code for o in outcomes if not o.ok)
                for row, outcome in zip(rows, outcomes, strict=True):
                    if outcome.ok:
                        kind = "shipped" if row["op"] == "upsert" else "removed"
                    else:
                        kind = "transient" if outcome.transient else "rejected"
                        self.blocked.add(row["customer_id"])
                    tally[f"{kind}_rows"] += 1
                self.counts += tally
                self.codes += codes
                self.count(rows)
                bar.update(len(rows))
                if bar.disable:
                    told = [f"{n:,} {what[:-5]}" for what, n in sorted(tally.items())]
                    told += [f"{n:,} times {code}" for code, n in sorted(codes.items())]
                    say(f"chunk {self.chunk}: {', '.join(told)}")
        if self.is_interrupted:
            return INTERRUPTED
        return int(self.counts["rejected_rows"] + self.counts["transient_rows"] > 0)

    def count(self, rows: list[Row]) -> None:
        """Count a chunk."""
        self.counts["requests"] += 1
        self.counts["bytes"] += sum(len(row["line"]) + 1 for row in rows)

    def ship_chunk(self, transport: Transport, rows: list[Row]) -> list[Outcome]:
        """Send a chunk, what is transient twice, and record it before and after."""
        self.size = len(rows)
        self.record(rows, [Outcome(False, "sent", transient=True)] * len(rows))
        outcomes = self.deliver(transport, rows)
        again = [i for i, outcome in enumerate(outcomes) if outcome.transient]
        if again and not self.refusals(outcomes):
            second = self.deliver(transport, [rows[i] for i in again], is_again=True)
            for i, outcome in zip(again, second, strict=True):
                outcomes[i] = outcome
        refusals = self.refusals(outcomes)
        if refusals:
            # Not the rows' fault: recorded as such, so that none is quarantined.
            outcomes = [
                o if o.ok and transport.is_keyed else Outcome(False, o.code, True)
                for o in outcomes
            ]
        self.record(rows, outcomes)
        if refusals:
            codes = ", ".join(sorted({outcome.code for outcome in refusals}))
            raise GuardError(
                f"{len(refusals):,} of {len(outcomes):,} rows were refused ({codes}): "
                "stopped, nothing more was shipped"
            )
        return outcomes

    def refusals(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Return the refusals, if they are so many that no row can be at fault."""
        found = [o for o in outcomes if not o.ok and not o.transient]
        limit = self.settings.max_reject_pct * self.size
        is_many = len(found) > FEW and len(found) * 100 > limit
        return found if is_many or len(found) == self.size > 1 else []

    def deliver(
        self, transport: Transport, rows: list[Row], is_again: bool = False
    ) -> list[Outcome]:
        """Send rows; return outcomes that rest on keys, or on what was read back.

        Where a result does not name its row, its place is a hint. A row said to be bad
        must indeed not be there as sent; else halves are sent, down to single rows.
        """
        if is_again and not transport.is_keyed:
            self.note(RESENT)
        keys, lines = ([row[name] for row in rows] for name in ("customer_key", "line"))
        try:
            outcomes = transport.send(keys, lines, self.note)
        except RefusedError as error:
            if len(rows) == 1:
                return [Outcome(False, str(error))]
        else:
            bad = [i for i, outcome in enumerate(outcomes) if not outcome.ok]
            if transport.is_keyed or not bad or len(rows) == 1:
                return outcomes
            is_one_kind = len({outcomes[i].transient for i in bad}) == 1
            is_all = len(bad) == len(rows) or self.refusals(outcomes)
            if is_one_kind and (
                is_all or not any(transport.holds(lines[i]) for i in bad)
            ):
                return outcomes
        middle = len(rows) // 2
        first = self.deliver(transport, rows[:middle], is_again=True)
        refused = [o for o in first if not o.ok and not o.transient]
        if len(refused) == middle > FEW:
            return first + [Outcome(False, refused[0].code)] * (len(rows) - middle)
        return first + self.deliver(transport, rows[middle:], is_again=True)

    def reconcile(self, transport: Transport) -> int:
        """Append to the ledger what is found at the destination, where it differs."""

        def there(row: Row) -> Row:
            is_blank = canonical(row | {"as_of_date": None}) == canonical({})
            return {"digest": canonical(row), "is_blank": str(is_blank), **row}

        def wanted(row: Row) -> Row:
            digest = row["row_hash"] and canonical(row | {"is_active": True})
            return row | {"customer_key": self.keys.of(row), "digest": digest}

        payload = ", ".join(f"audience.{name}" for name in PAYLOAD[:-1])
        candidates = (
            "select candidates.customer_id, candidates.subscriber_key, "
            f"audience.row_hash, {payload} from {{candidates}} as candidates "
            "left join {audience} as audience "
            "on candidates.customer_id = audience.customer_id"
        )
        if self.keys.is_own:
            candidates += " where candidates.subscriber_key is not null"
        known = "select * from {shipped} where target = '{target}'"
        columns = {
            "there": "customer_key digest is_blank",
            "wanted": "customer_key customer_id row_hash digest",
            "known": "customer_key customer_id key_id is_uncertain shipped_op "
            "shipped_hash",
        }
        sources = {
            "there": (transport.read(), there),
            "wanted": (self.warehouse.store(candidates.format(**self.names))(), wanted),
            "known": (self.warehouse.store(known.format(**self.names))(), dict),
        }
        with tempfile.TemporaryDirectory() as folder, duckdb.connect() as scratch:
            scratch.execute("set threads = 1")
            scratch.execute(f"set memory_limit = '{warehouses.MEMORY}'")
            scratch.execute(f"set temp_directory = '{folder}'")
            for name, (pages, make) in sources.items():
                kinds = dict.fromkeys(columns[name].split(), TEXT)
                listed = ", ".join(f"{column} {TEXT}" for column in kinds)
                scratch.execute(f"create table {name} ({listed})")
                for page in pages:
                    warehouses.insert(scratch, name, kinds, [make(row) for row in page])
            found = scratch.execute(COMPARED, {"key_id": self.keys.id})
            names = [column[0] for column in found.description]
            while page := found.fetchmany(FOUND):
                rows = [dict(zip(names, row, strict=True)) for row in page]
                self.counts["found"] += len(rows)
                self.record(rows, [Outcome(True, "found")] * len(rows))
        say(f"found {self.counts['found']:,} keys other than the ledger knew them")
        return 0

    def erase(self, transport: Transport) -> int:
        """Delete there what is to be erased, and forget it once it is gone."""
        rows = self.ask("select * from {deletions} where target = '{target}'")
        keys = sorted({row["customer_key"] for row in rows})
        left = 0
        for first in range(0, len(keys), ERASED):
            self.beat()
            left += len(transport.delete(keys[first : first + ERASED]))
        if left:
            raise UnavailableError(f"{left:,} rows are still there: run again")
        if rows:
            last = max(plain(row["recorded_at"]) for row in rows).isoformat()
            self.ask(
                "delete from {deletions} where target = '{target}' and recorded_at <= "
                + warehouses.literal(last, "timestamp")
            )
        say(f"{len(keys):,} keys are gone from {self.target}")
        return 0

    def report(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Return what the run found and did."""
        done = {name: self.counts[name] for name in (*TALLY, "requests", "bytes")}
        about = {"run_id": self.run_id, "target": self.target}
        return about | plan | done | {"codes": dict(self.codes)}


def open_transport(sync: Sync) -> Transport:
    """Return the way to the run's target, logged in."""
    settings = sync.settings
    patience = Patience(settings.pause, settings.timeout, settings.deadline)
    length = OWN_LENGTH if sync.keys.is_own else KEY.length
    transport = TRANSPORTS[sync.target](patience, length)
    transport.login()
    return transport


def rehearse(sync: Sync) -> tuple[dict[str, Any], int]:
    """Say what would be shipped; asks the destination nothing."""
    plan = sync.plan()
    for rows in sync.batches(TRANSPORTS[sync.target]):
        sync.count(rows)
    names = ("new", "changed", "removed", "moved", "unchanged", "quarantined")
    say(f"would ship: {', '.join(f'{plan[name]:,} {name}' for name in names)}")
    for kind, listed in (("left out", "excluded"), ("audience", "segments")):
        for name, customers in plan[listed].items():
            say(f"{kind}: {customers} {name}")
    say(f"columns: {', '.join(column.name for column in COLUMNS)}")
    say(f"{sync.counts['requests']:,} requests, {sync.counts['bytes']:,} bytes")
    try:
        sync.guard(plan)
    except GuardError as error:
        say(f"not allowed: {error}")
        return plan, error.exit_code
    return plan, 0


def run(sync: Sync, transport: Transport | None) -> tuple[dict[str, Any], int]:
    """Ship what is due."""
    sync.require_key()
    plan = sync.plan()
    sync.guard(plan)
    skipped = 0 if sync.settings.retry_rejected else plan["quarantined"]
    sync.expected = plan["rows"] - skipped
    transport = transport or open_transport(sync)
    if misfits := transport.check():
        raise ConfigError("; ".join(misfits))
    if sync.mode != "withdrawals":
        sync.guard_destination(transport)
    if sync.expected:
        sync.work(transport, sync.ship)
    else:
        say("nothing to do")
    if sync.mode == "withdrawals" and sync.exit_code == 0:
        # Removals wait for nothing; whom they may have missed is said after them.
        sync.held = {name: int(n or 0) for name, n in sync.ask(KNOWN)[0].items()}
        sync.read_checks()
        try:
            sync.guard_destination(transport)
            sync.guard_consents()
        except GuardError as error:
            say(f"{error}")
            sync.exit_code = error.exit_code
    return plan, sync.exit_code


FLAGS = {
    "--dry-run": "Count, ship nothing, write nothing.",
    "--check": "Log in, compare the columns, and end.",
    "--create": "With --check: create what is missing.",
    "--full": "Ship the whole audience, not the changes.",
    "--withdrawals": "Only remove who refused, by the newest consents, unguarded.",
    "--reconcile": "First read what the destination holds, and mend the ledger.",
    "--erase": "Delete the rows that export_deletions names, and forget them there.",
    "--rotate-key": "Move customers from keys of another secret or kind.",
    "--retry-rejected": "Ship quarantined rows too.",
    "--accept-audience": "Ship an old audience, another shop's, or an earlier day's.",
    "--accept-consents": "Ship though consents or statuses are fewer than before.",
    "--accept-nobody": "Ship though statements are about nobody who is known.",
    "--break-lock": "Take over from a run at work.",
    "--json": "End with a line of JSON.",
}
NUMBERS = {
    "--max-remove-pct": (20.0, "Stop where more of what is active would be removed."),
    "--max-add-pct": (20.0, "Stop where more would be added; not at a first run."),
    "--max-reject-pct": (
        5.0,
        f"Stop where more of a chunk is refused, and more than {FEW} rows.",
    ),
    "--pause": (2.0, "Seconds between tries."),
    "--timeout": (60.0, "Seconds for a call."),
    "--deadline": (900.0, "Seconds for a request to be worked off."),
}


def options(command: Callable) -> Callable:
    """Add what is common to many options."""
    for name, text in reversed(FLAGS.items()):
        command = click.option(name, is_flag=True, help=text)(command)
    for name, (default, text) in reversed(NUMBERS.items()):
        given = click.option(name, default=default, show_default=True, help=text)
        command = given(command)
    return command


# Click keeps the lines of what follows this character.
@click.command(help=__doc__.replace("\\b", "\b"))
@click.option("--target", type=click.Choice(list(TRANSPORTS)), required=True)
@click.option(
    "--warehouse",
    default=lambda: os.environ.get("CLV_TARGET", "duckdb"),
    type=click.Choice(["duckdb", "bigquery", "emulator"]),
    help="Target of profiles.yml; default: CLV_TARGET, else duckdb.",
)
@click.option("--limit", type=click.IntRange(1), help="Ship so many rows at most.")
@options
def main(warehouse: str, **chosen: Any) -> None:
    started = time.monotonic()
    settings = SimpleNamespace(**chosen, is_reconciled=False)
    report: dict[str, Any] = {"target": settings.target}
    code, opened = 0, None
    try:
        modes = [name for name in MODES if chosen[name]]
        if len(modes) > 1 or (settings.create and not settings.check):
            raise ConfigError("one of them at a time, and --create with --check only")
        settings.mode = (modes or ["delta"])[0].removesuffix("_key")
        opened = open_warehouse(warehouse, settings.dry_run or settings.check)
        sync = Sync(opened, settings)
        if settings.check:
            misfits = open_transport(sync).check(settings.create)
            code = ConfigError.exit_code if misfits else 0
            for misfit in misfits:
                say(misfit)
            say("it does not fit" if misfits else "login and columns are right")
        elif settings.dry_run:
            plan, code = rehearse(sync)
            report = sync.report(plan)
        else:
            transport, found, mode = None, 0, settings.mode
            # Erasures first, in every mode: the ledger knows nothing of their rows.
            if sync.ask("select 1 from {deletions} where target = '{target}' limit 1"):
                settings.mode = "erase"
                sync = Sync(opened, settings)
                transport = open_transport(sync)
                sync.work(transport, sync.erase)
                settings.mode = mode
                sync = Sync(opened, settings)
                transport.beat = lambda: None
            if mode == "reconcile":
                sync.require_key()
                transport = transport or open_transport(sync)
                sync.work(transport, sync.reconcile)
                found = sync.counts["found"]
                settings.is_reconciled, settings.mode = True, "delta"
                sync = Sync(opened, settings)
                transport.beat = lambda: None
            if mode != "erase":
                plan, code = run(sync, transport)
                report = sync.report(plan) | {"found": found}
    except ExportError as error:
        say(f"{error}")
        code = error.exit_code
    except duckdb.OutOfMemoryException:
        say("the delta needs more memory: set CLV_EXPORT_MEMORY, such as 500MB")
        code = ConfigError.exit_code
    except Exception as error:
        # Its message may hold a customer's value or a secret: only where it happened.
        trace = error.__traceback__
        while trace.tb_next:
            trace = trace.tb_next
        where = Path(trace.tb_frame.f_code.co_filename).name
        say(f"failed with {type(error).__name__} at {where}:{trace.tb_lineno}")
        is_warehouse = type(error).__module__.startswith(
            ("google.", "_duckdb", "duckdb")
        )
        code = UnavailableError.exit_code if is_warehouse else ExportError.exit_code
    finally:
        if opened:
            opened.close()
    report |= {"exit_code": code, "seconds": round(time.monotonic() - started, 1)}
    if settings.json:
        print(json.dumps(report))
    sys.exit(code)


if __name__ == "__main__":
    main()
