r"""Sync changed segment rows to Salesforce or files, and keep the evidence.

The warehouse decides what changes (export_marketing_cloud__delta); this carries it: a
chunk at a time, intent written before, what the destination calls the request as soon
as it says so, outcome after it confirmed. So a run may die anywhere: the next one waits
until nothing of it is under way, and syncs what is not proven to have arrived; an
upsert done twice is done once. A customer who leaves the audience is blanked and made
inactive. Removals go first.

The destination is Marketing Cloud Engagement (sfmc), Salesforce (crm), files for any
tool, or files for Customer Match (google_ads). Keys there are HMACs of customer ids,
made here with CLV_EXPORT_SECRET (32 characters or more), or the tenant's own (variable
clv_export_key). From the environment (a value sm://PROJECT/NAME is looked up in Secret
Manager):

\b
  crm   SF_DOMAIN, SF_CONSUMER_KEY, and SF_CONSUMER_SECRET or
        SF_USERNAME with SF_PRIVATE_KEY_FILE; SF_OBJECT (Customer_Segment__c)
  sfmc  SFMC_SUBDOMAIN, SFMC_CLIENT_ID, SFMC_CLIENT_SECRET, SFMC_ACCOUNT_ID;
        SFMC_DATA_EXTENSION (clv_segments); SFMC_FOLDER_ID for --create
  files, google_ads  CLV_EXPORT_FOLDER; CLV_EXPORT_FORMAT of files, csv or parquet

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
       than the one synced last, or a destination that is not as the ledger says
  6    another run, or a build, is at work
  70   a fault of this script
  130  interrupted; the chunk under way was finished
"""

import datetime
import functools
import hmac
import itertools
import json
import os
import secrets as random_digits
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import duckdb
import export_transports as transports
from export_files import Files, GoogleAds
from export_transports import COLUMNS, GONE, KEY, RUN, ConfigError, ExportError, Row
from export_warehouse import LIMITS, BigQuery, DuckDb, Pages, insert
from small_cells import marks

TRANSPORTS = {"crm": transports.Crm, "sfmc": transports.MarketingCloud}
TRANSPORTS |= {"files": Files, "google_ads": GoogleAds}
RELATIONS = ("audience", "candidates", "synced", "delta", "exclusions", "checks")
RELATIONS += ("held", "runs", "open_requests")
STATE = ("export_runs", "export_ledger", "export_deletions")
TALLY = ("synced_rows", "removed_rows", "rejected_rows", "transient_rows")
LEDGER = ("customer_id", "customer_key", "key_id", "op", "row_hash")
# What the delta has besides the columns that are synced.
CONTROL = {*LEDGER, "target", "change", "is_withdrawal", "has_consent"}
MARKS = ("is_double", "is_move", "is_quarantined")
CONTROL |= {"is_due", *MARKS}
DELTA = CONTROL | {column.name for column in COLUMNS if column is not RUN}
SECRET, SHORTEST, VARIED = "CLV_EXPORT_SECRET", 32, 9
OWN_LENGTH = 254  # characters of a key that subscribers have, at most
FEW = 20  # so many refusals of a chunk are never too many
LEASE, RENEWAL = 300, 60  # seconds for which a sign of life holds, and between two
FOUND = 20_000  # rows of the ledger at once, of what was found
WAREHOUSES = ("duckdb", "bigquery", "emulator")
MODES = ("full", "withdrawals", "reconcile", "rotate_key", "erase")
ERASED = 100  # rows deleted at once
INTERRUPTED = 130

# Models know no clock: what a time stops is judged here.
CHECKS = """
select
    *,
    is_stopping
    or coalesce(cast(stops_at as timestamp) < {now}, false)
    or coalesce(cast(stops_until as timestamp) > {now}, false) as stops
from {checks}
where target = '{target}'
"""
KNOWN = """
select
    customer_id, customer_key, key_id,
    case when is_uncertain then 'uncertain' else synced_hash end as row_hash
from {synced}
where target = '{target}'
"""
SCRATCH = """
create table there (customer_key text, row_hash text);
create table known (customer_id text, customer_key text, key_id text, row_hash text);
create table wanted (customer_id text, customer_key text)
"""
# What the destination holds and the ledger does not know; keys regard no case.
NEWS = """
select
    coalesce(wanted.customer_id, known.customer_id) as customer_id,
    coalesce(there.customer_key, known.customer_key) as customer_key,
    if(wanted.customer_key is null, known.key_id, '{key_id}') as key_id,
    if(coalesce(there.row_hash, 'removed') = 'removed', 'remove', 'upsert') as op,
    coalesce(there.row_hash, 'absent') as row_hash
from there
full outer join known on lower(there.customer_key) = lower(known.customer_key)
left join wanted
    on lower(wanted.customer_key)
    = lower(coalesce(there.customer_key, known.customer_key))
where coalesce(there.row_hash, 'absent') != coalesce(known.row_hash, 'absent')
"""

say = functools.partial(click.echo, err=True)  # the standard output is the report's


def elapsed() -> float:
    """Return seconds of a clock that nobody sets, and that goes on in sleep."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Keys:
    """Which key a customer has at the destination; `id` names the secret, if any."""

    def __init__(self, kind: str):
        self.is_own, self.id, self.secret = kind == "subscriber_key", None, b""
        if self.is_own:
            self.id = kind
        elif found := transports.setting(SECRET, ""):
            is_repeated = found in (found + found)[1:-1]
            if len(found) < SHORTEST or len(set(found)) < VARIED or is_repeated:
                raise ConfigError(
                    f"{SECRET} needs {SHORTEST} characters, by chance: "
                    "openssl rand -hex 32 makes some"
                )
            self.secret = found.encode()
            self.id = self.digest("clv")[:8]

    def digest(self, text: str) -> str:
        return hmac.digest(self.secret, text.encode(), "sha256").hex()

    def of(self, customer_id: str, own: str) -> str:
        """Return the key that a customer should have; `own` is the tenant's."""
        return own if self.is_own else self.digest(customer_id)


class Sync:
    """One run for one target."""

    def __init__(self, warehouse: Any, settings: Any, mode: str, transport: Any):
        self.warehouse, self.settings, self.mode = warehouse, settings, mode
        self.transport, self.target = transport, settings.target
        self.counts, self.codes, self.blocked = Counter(), Counter(), set()
        self.chunk, self.planned, self.checks = 0, {}, []
        self.is_interrupted, self.exit_code = False, 0
        # Files that may replace what their readers hold: another key is in every row.
        is_new = mode == "rotate" and not TRANSPORTS[self.target].is_read_back
        self.is_whole = mode == "full" or is_new
        views = f"{warehouse.prefix}_export.export_marketing_cloud__"
        self.names = {name: views + name for name in RELATIONS}
        self.names |= {name: f"{warehouse.prefix}_state.{name}" for name in STATE}
        self.names |= {"target": self.target, "now": warehouse.now}
        exclusions = self.ask("select *, {now} as now from {exclusions}")
        self.excluded = {r["exclusion_reason"]: r["customers"] for r in exclusions}
        self.facts = exclusions[0]
        (self.held,) = self.ask("select * from {held} where target = '{target}'")
        self.keys = Keys(self.facts["export_key"])
        self.zero = self.beaten = elapsed()
        self.start = self.facts["now"]
        self.run_id = f"{self.start:%Y%m%dT%H%M%S}-{random_digits.token_hex(4)}"
        self.names |= {"key_id": self.keys.id, "run_id": self.run_id}
        # Rows that are written bear the mark, which is the number but in doubt.
        self.number = self.mark = self.held["last_run_number"] + 1

    def ask(self, sql: str, **names: Any) -> list[Row]:
        return self.warehouse.rows(sql.format(**self.names, **names))

    def pages_of(self, sql: str, **names: Any) -> Callable[[], Pages]:
        return self.warehouse.store(sql.format(**self.names, **names))

    def now(self) -> datetime.datetime:
        """Return the warehouse's time, by no clock that somebody sets."""
        return self.start + datetime.timedelta(seconds=elapsed() - self.zero)

    def plan(self) -> None:
        """Read what is due, once, and count it."""
        (otherwise,) = self.ask(
            "select count(*) as customers from {synced} where target = '{target}' and "
            "is_newest and synced_op = 'upsert' and coalesce(key_id, '') != '{key_id}'"
        )
        is_bound = self.keys.id and self.mode not in ("rotate", "withdrawals")
        if is_bound and otherwise["customers"]:
            raise ConfigError(
                f"{otherwise['customers']:,} customers have keys made otherwise, with "
                f"another {SECRET} or clv_export_key: --rotate-key moves them"
            )
        move = "coalesce(op = 'upsert' and key_id != '{key_id}', false)"
        move = move.format(**self.names) if self.keys.id else "false"
        due = "true" if self.is_whole else f"is_due or {move}"
        self.pages = self.pages_of(
            "select *, {move} as is_move from {delta} where target = '{target}' "
            "and ({due}) order by op, customer_id",
            move=move,
            due="is_withdrawal" if self.mode == "withdrawals" else due,
        )
        tally, leaving = Counter(), Counter()
        for row in itertools.chain.from_iterable(self.pages()):
            if not tally and (odd := row.keys() ^ DELTA):
                odd = ", ".join(sorted(odd))
                raise ConfigError(f"the delta lacks or has unknown columns: {odd}")
            change, customer = row["change"], row["customer_id"]
            # Removals come first; who has another key is not removed, but moved.
            if change == "removed":
                leaving[customer] += 1
            elif leaving and customer in leaving:
                tally["moved"] += leaving.pop(customer)
                change = "changed" if change == "new" else change
            tally[change] += 1
            tally["rows"] += 1
            for name in MARKS:
                if row[name]:
                    tally[name] += 1
        if tally["is_double"]:
            raise ConfigError("two customers have the same key")
        segments = self.ask(
            "select clv_segment, count(*) as n from {audience} group by 1 "
            "order by 2 desc"
        )
        told = zip(segments, marks(segments, "n"), strict=True)
        audience = sum(segment["n"] for segment in segments)
        self.planned = {name: tally[name] for name in ("new", "changed")} | {
            "removed": tally["removed"] - tally["moved"],
            "moved": tally["moved"] + tally["is_move"],
            "quarantined": tally["is_quarantined"],
            "rows": tally["rows"] + tally["is_move"],
            "audience": audience,
            "synced_before": self.held["active_rows"],
            "unchanged": audience - tally["new"] - tally["changed"],
            "excluded": {n: c for n, c in self.excluded.items() if n != "none"},
            "segments": {s["clv_segment"]: mark or s["n"] for s, mark in told},
        }

    def guard_checks(self, which: str = "") -> None:
        """Say what is known of consents and audience; refuse what is unclear."""
        faults, self.checks = [], self.ask(CHECKS + which)
        for check in self.checks:
            option = check["accepted_by"]
            if check["stops"] and not (option and getattr(self.settings, option)):
                hint = f" (--{option.replace('_', '-')})" if option else ""
                faults.append(check["sentence"] + hint)
            else:
                say(check["sentence"])
        if faults:
            raise transports.GuardError(f"nobody is added: {'; '.join(faults)}")

    def guard(self) -> None:
        """Refuse what must not be synced unasked."""
        self.guard_checks()
        active = self.held["active_rows"]
        # Until a run has synced all that it should, the first one goes on.
        is_first = self.settings.reconcile or not self.held["has_synced"]
        new = 0 if is_first else self.planned["new"]
        for what, number in (("remove", self.planned["removed"]), ("add", new)):
            limit = getattr(self.settings, f"max_{what}_pct")
            if number * 100 > limit * active:
                raise transports.GuardError(
                    f"{number:,} customers would be {what.rstrip('e')}ed where "
                    f"{active:,} are active, more than {limit:g} %: nothing was "
                    f"synced; if it is right, say so with --max-{what}-pct"
                )

    def doubt(self) -> str:
        """Say what the destination holds that the ledger does not know of, if any."""
        (there, newest), proven = self.transport.held(), self.held["proven_rows"]
        cure = "--reconcile reads what is there"
        if not self.transport.is_read_back:
            there, cure = proven, "--full writes the whole audience, to replace it all"
        self.mark, known = max(self.number, newest + 1), self.number - 1
        if self.is_whole and not self.transport.is_read_back:
            self.number = self.mark  # later than all that is there
        is_as_many = proven <= there <= proven + self.held["doubtful_rows"]
        if is_as_many and self.mark == self.number:
            return ""
        rows = f"{there:,} rows and run {newest}; the ledger knows of {proven:,}"
        return f"{self.target} holds {rows} and {known}: nobody is added; {cure}"

    def due(self) -> Iterator[Row]:
        """Yield what to sync, keys and all; who moves is removed first."""
        for row in itertools.chain.from_iterable(self.pages()):
            row[RUN.name] = self.mark
            if row["is_move"]:
                yield row | GONE
            if row["is_quarantined"] and not self.settings.retry_rejected:
                continue
            if row["op"] == "upsert":
                if row["has_consent"] is not True:
                    raise ConfigError("the delta holds a customer without consent")
                row["key_id"] = self.keys.id
                row[KEY.name] = self.keys.of(row["customer_id"], row[KEY.name])
            yield row

    def batches(self, transport: Any) -> Iterator[list[Row]]:
        """Yield chunks: of some rows the removals, and then the upserts."""
        rows = itertools.islice(self.due(), self.settings.limit)
        while page := list(itertools.islice(rows, transport.max_rows)):
            for op in ("remove", "upsert"):
                # Upserts only of customers whose old key is known to be gone.
                barred = set() if op == "remove" else self.blocked
                chunk = [row for row in page if row["op"] == op]
                chunk = [row for row in chunk if row["customer_id"] not in barred]
                for row in chunk:
                    row["line"] = transport.encode(row)
                if chunk:
                    yield chunk
            page.clear()  # before the next is read, to save memory

    def append(self, table: str, **columns: Any) -> None:
        """Add rows of this run to a table of state, by columns or their one value."""
        own = {"run_id": self.run_id, "run_number": self.number, "target": self.target}
        own |= {"log_id": self.facts["log_id"], "recorded_at": str(self.now())}
        self.warehouse.append(table, own | columns)

    def note(self, request: str) -> None:
        """Record what the destination calls a request of the chunk under way."""
        self.append("export_requests", chunk=self.chunk, request_id=request)

    def record(self, rows: list[Row], outcomes: Any) -> None:
        """Record the outcomes of rows, or one that all of them have."""
        columns = {name: [row[name] for row in rows] for name in LEDGER}
        if isinstance(outcomes, list):
            outcomes = transports.Outcome(*map(list, zip(*outcomes, strict=True)))
        columns |= {"is_synced": outcomes.ok, "is_transient": outcomes.transient}
        self.append("export_ledger", chunk=self.chunk, code=outcomes.code, **columns)

    def event(self, event: str, **values: Any) -> None:
        """Record that the run started, lives or ended."""
        self.append("export_runs", event=event, mode=self.mode, **values)

    def others(self, which: str) -> list[str]:
        """Return the ids of other runs of the target that have not given way."""
        query = "select run_id from {runs} where target = '{target}' "
        query += "and run_id != '{run_id}' and not has_given_way and " + which
        return [run["run_id"] for run in self.ask(query)]

    def enter(self) -> None:
        """Claim the target, unless another run shows signs of life."""
        if not self.warehouse.is_exclusive:
            alive = f"last_seen_at > {{now}} - interval {LEASE} second"
            for run in self.others(f"not has_ended and {alive}"):
                if not self.settings.break_lock:
                    text = f"run {run} is at work; --break-lock takes over"
                    raise transports.BusyError(text)
                say(f"run {run} is taken over: it sends nothing more")
        commit = os.environ.get("CLV_GIT_COMMIT") or os.environ.get("GITHUB_SHA")
        day = self.facts["as_of_date"]
        values = {"git_commit": commit, "as_of_date": day and str(day)}
        for check in self.checks[:1]:
            stated = ("consent", "refusing", "suppressed", "linked")
            values |= {f"{one}_users": check[f"{one}_users"] for one in stated}
        self.event("started", **values)

    def give_way(self) -> None:
        """Stop where another run has started since this one read what is due."""
        for run in self.others(f"run_number >= {self.number}"):
            raise transports.BusyError(f"run {run} started: nothing more is sent")

    def beat(self) -> None:
        """Show a sign of life now and then, and see whether others do."""
        if not self.warehouse.is_exclusive and elapsed() - self.beaten > RENEWAL:
            self.beaten = elapsed()
            self.give_way()
            self.event("renewed")

    def work(self, task: Callable[[], int]) -> None:
        """Do it while the target is held; the state says how it ended."""
        self.enter()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.interrupt)
        self.exit_code = ExportError.exit_code
        try:
            self.give_way()  # two that claim the target at once both do
            self.transport.beat = self.beat
            self.settle()
            self.exit_code = INTERRUPTED if self.is_interrupted else task()
        except ExportError as error:
            self.exit_code = error.exit_code
            raise
        except KeyboardInterrupt:
            self.exit_code = INTERRUPTED
        finally:
            self.transport.beat = lambda: None
            tally = {name: self.counts[name] for name in TALLY}
            self.event("ended", exit_code=self.exit_code, **tally)

    def interrupt(self, *_: Any) -> None:
        """Stop after the chunk under way; at once when asked again."""
        if self.is_interrupted:
            raise KeyboardInterrupt
        self.is_interrupted = True
        say("interrupted: finishing the chunk under way")

    def settle(self) -> None:
        """Wait until nothing that an earlier run sent is under way."""
        deadline, left = self.settings.deadline, 0.0
        until = elapsed() + deadline
        # What is older than a day is not.
        over = self.ask(
            "select * from {open_requests} where target = '{target}' and run_id != "
            "'{run_id}' and last_seen_at > {now} - interval 1 day"
        )
        for chunk in over:
            for request in filter(None, (chunk["request_ids"] or "").split(",")):
                if not self.transport.settle(request, max(0.0, until - elapsed())):
                    raise transports.UnavailableError(
                        f"request {request} of an earlier run is not over: "
                        "nothing was synced"
                    )
            if chunk["unknown_requests"] > 0:
                since = (self.now() - chunk["last_seen_at"]).total_seconds()
                left = max(left, deadline + self.warehouse.skew - since)
        if (left := min(left, deadline)) > 1:
            say(f"a request of an earlier run may be under way: waiting {left:,.0f} s")
        self.transport.wait(lambda: self.beat() or self.is_interrupted, left)
        if over and not self.is_interrupted:
            names = ("run_id", "run_number", "chunk")
            columns = {name: [chunk[name] for chunk in over] for name in names}
            self.append("export_requests", request_id=transports.SETTLED, **columns)

    def sync(self) -> int:
        """Sync everything; return the exit code."""
        is_cut = False
        for rows in self.batches(self.transport):
            if is_cut := self.is_interrupted:
                break
            self.chunk += 1
            self.beat()
            for row, outcome in zip(rows, self.ship_chunk(rows), strict=True):
                kind = "synced" if row["op"] == "upsert" else "removed"
                if not outcome.ok:
                    kind = "transient" if outcome.transient else "rejected"
                    self.blocked.add(row["customer_id"])
                    self.codes[outcome.code] += 1
                self.counts[f"{kind}_rows"] += 1
            self.count(rows)
            told = {name.removesuffix("_rows"): self.counts[name] for name in TALLY}
            done = sum(told.values())
            told |= {f"times {code}": n for code, n in sorted(self.codes.items())}
            told = ", ".join(f"{n:,} {what}" for what, n in told.items() if n)
            say(f"{done:,} of {self.expected:,} rows: {told}")
            del rows, row  # before the next are read, to save memory
        if self.chunk and not self.transport.is_read_back:
            self.show(self.is_whole and not is_cut)
            shown = itertools.islice(self.batches(self.transport), self.chunk)
            for self.chunk, rows in enumerate(shown, 1):
                self.record(rows, transports.Outcome(True))
        if is_cut:
            return INTERRUPTED
        return int(self.counts["rejected_rows"] + self.counts["transient_rows"] > 0)

    def show(self, is_whole: bool = False) -> None:
        """Let files be seen."""
        about = {"target": self.target, "run_number": self.mark, "run_id": self.run_id}
        about |= {"mode": self.mode, "as_of_date": str(self.facts["as_of_date"])}
        is_whole = is_whole and not self.settings.limit
        self.transport.finish(about | {"is_whole_audience": is_whole})

    def count(self, rows: list[Row]) -> None:
        self.counts["requests"] += 1
        self.counts["bytes"] += sum(len(row["line"]) + 1 for row in rows)

    def ship_chunk(self, rows: list[Row]) -> list[transports.Outcome]:
        """Send a chunk, what is transient twice, and record it before and after."""
        self.size = len(rows)
        self.record(rows, transports.Outcome(False, "sent", transient=True))
        outcomes = self.deliver(rows)
        again = [i for i, outcome in enumerate(outcomes) if outcome.transient]
        if again and not self.refusals(outcomes):
            second = self.deliver([rows[i] for i in again], is_again=True)
            for i, outcome in zip(again, second, strict=True):
                outcomes[i] = outcome
        refusals, is_keyed = self.refusals(outcomes), self.transport.is_keyed
        if refusals:
            # Not the rows' fault: recorded as such, so that none is quarantined.
            outcomes = [
                o if o.ok and is_keyed else o._replace(ok=False, transient=True)
                for o in outcomes
            ]
        if self.transport.is_read_back:
            self.record(rows, outcomes)
        if refusals:
            codes = ", ".join(sorted({outcome.code for outcome in refusals}))
            raise transports.GuardError(
                f"{len(refusals):,} of {len(outcomes):,} rows were refused ({codes}): "
                "stopped, nothing more was synced"
            )
        return outcomes

    def refusals(self, outcomes: list[transports.Outcome]) -> list[transports.Outcome]:
        """Return the refusals, if they are so many that no row can be at fault."""
        found = [o for o in outcomes if not o.ok and not o.transient]
        limit = self.settings.max_reject_pct * self.size
        is_many = len(found) > FEW and len(found) * 100 > limit
        return found if is_many or len(found) == self.size > 1 else []

    def deliver(self, rows: list[Row], is_again: bool = False) -> list:
        """Send rows; return outcomes that rest on keys, or on what was read back.

        Where a result does not name its row, its place is a hint. A row said to be bad
        must indeed not be there as sent; else halves are sent, down to single rows.
        """
        if is_again and not self.transport.is_keyed:
            self.note(transports.RESENT)
        try:
            outcomes = self.transport.send(rows, self.note)
        except transports.RefusedError as error:
            if len(rows) == 1:
                return [transports.Outcome(False, str(error))]
        else:
            bad = [i for i, outcome in enumerate(outcomes) if not outcome.ok]
            if self.transport.is_keyed or not bad or len(rows) == 1:
                return outcomes
            is_one_kind = len({outcomes[i].transient for i in bad}) == 1
            is_all = len(bad) == len(rows) or self.refusals(outcomes)
            if is_one_kind and (
                is_all or not any(self.transport.holds(rows[i]) for i in bad)
            ):
                return outcomes
        middle = len(rows) // 2
        first = self.deliver(rows[:middle], is_again=True)
        refused = [o for o in first if not o.ok and not o.transient]
        if len(refused) == middle > FEW:
            return first + refused[:1] * (len(rows) - middle)
        return first + self.deliver(rows[middle:], is_again=True)

    def reconcile(self) -> int:
        """Append to the ledger what is found at the destination, where it differs."""
        with tempfile.TemporaryDirectory() as folder:
            scratch = duckdb.connect(config=LIMITS | {"temp_directory": folder})
            scratch.execute(SCRATCH)
            for page in self.transport.read():
                hashes = [transports.content(row) for row in page]
                keys = [row[KEY.name] for row in page]
                insert(scratch, "there", {KEY.name: keys, "row_hash": hashes})
            for page in self.pages_of(KNOWN)():
                known = {name: [row[name] for row in page] for name in page[0]}
                insert(scratch, "known", known)
            for page in self.pages_of("select * from {candidates}")():
                ids = [row["customer_id"] for row in page]
                own = [row["subscriber_key"] for row in page]
                keys = [*map(self.keys.of, ids, own)]
                insert(scratch, "wanted", {"customer_id": ids, KEY.name: keys})
            news = scratch.execute(NEWS.format(**self.names))
            while page := news.fetchmany(FOUND):
                rows = [dict(zip(LEDGER, row, strict=True)) for row in page]
                self.settings.found += len(rows)
                self.record(rows, transports.Outcome(True, "found"))
        say(f"found {self.settings.found:,} keys other than the ledger knew them")
        return 0

    def erase(self) -> int:
        """Delete there what is to be erased, and forget it once it is gone."""
        rows = self.ask("select * from {export_deletions} where target = '{target}'")
        keys = sorted({row[KEY.name] for row in rows})
        parts = [keys[first : first + ERASED] for first in range(0, len(keys), ERASED)]
        if left := sum(len(self.transport.delete(part)) for part in parts):
            raise transports.UnavailableError(
                f"{left:,} rows are still there: run again"
            )
        if not self.transport.is_read_back:
            self.show()
        self.ask(
            "delete from {export_deletions} where target = '{target}' "
            "and recorded_at <= timestamp '{last}'",
            last=max(row["recorded_at"] for row in rows),
        )
        say(f"{len(keys):,} keys are gone from {self.target}")
        return 0

    def open(self) -> None:
        """Log in, if no run before this one has."""
        if self.transport is None:
            length = OWN_LENGTH if self.keys.is_own else KEY.length
            self.transport = TRANSPORTS[self.target](self.settings, length)
            self.transport.login()
        if self.mode == "reconcile" and not self.transport.is_read_back:
            raise ConfigError("files are not read back: --full writes all of them anew")

    def run(self) -> None:
        """Do what the mode says."""
        if self.settings.check:
            self.open()
            if misfits := self.transport.check(self.settings.create):
                raise ConfigError("\n".join([*misfits, "it does not fit"]))
            return say("login and columns are right")
        if self.settings.dry_run:
            return self.rehearse()
        if not self.keys.id and self.mode not in ("withdrawals", "erase"):
            raise ConfigError(f"environment variable {SECRET} is not set")
        if task := {"erase": self.erase, "reconcile": self.reconcile}.get(self.mode):
            self.open()
            if self.mode == "reconcile" or not self.transport.is_read_back:
                self.doubt()
                self.number = self.mark  # later than all that is there
            return self.work(task)
        is_guarded = self.mode != "withdrawals"
        self.plan()
        if is_guarded:
            self.guard()
        skipped = 0 if self.settings.retry_rejected else self.planned["quarantined"]
        self.expected = self.planned["rows"] - skipped
        self.open()
        if misfits := self.transport.check():
            raise ConfigError("; ".join(misfits))
        try:
            doubt = self.doubt()
        except transports.UnavailableError as error:
            if is_guarded:
                raise
            doubt = str(error)
        if doubt and is_guarded:
            raise transports.GuardError(doubt)
        if self.expected:
            self.work(self.sync)
        else:
            say("nothing to do")
        if not is_guarded and self.exit_code == 0:
            # Removals wait for nothing; whom they may have missed is said after them.
            if doubt:
                raise transports.GuardError(doubt)
            self.guard_checks("and check_name not like 'audience%'")
        return None

    def rehearse(self) -> None:
        """Count and say what would be synced."""
        self.plan()
        for rows in self.batches(TRANSPORTS[self.target]):
            self.count(rows)
        for name, found in self.report().items():
            say(f"{name}: {found}")
        say(f"columns: {', '.join(column.name for column in COLUMNS)}")
        if self.mode != "withdrawals":
            self.guard()

    def report(self) -> Row:
        done = {name: self.counts[name] for name in (*TALLY, "requests", "bytes")}
        about = {"run_id": self.run_id, "target": self.target}
        about |= {"codes": dict(self.codes), "found": self.settings.found}
        return about | done | self.planned


def judge(error: Exception) -> int:
    """Say what went wrong; return the exit code."""
    if isinstance(error, ExportError):
        say(str(error))
        return error.exit_code
    # Its message may hold a customer's value or a secret: only where it happened.
    name, where = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
    say(f"failed with {name} at {Path(where.filename).name}:{where.lineno}")
    if name == "OutOfMemoryException":
        say("the delta needs more memory: set CLV_EXPORT_MEMORY, such as 500MB")
        return ConfigError.exit_code
    if name in ("CatalogException", "BinderException", "NotFound"):
        say("the warehouse lacks tables or columns: build first")
        return ConfigError.exit_code
    if type(error).__module__.startswith(("google.", "_duckdb", "duckdb")):
        return transports.UnavailableError.exit_code
    return ExportError.exit_code


flag = functools.partial(click.option, is_flag=True)
number = functools.partial(click.option, show_default=True)


# Click keeps the lines of what follows this character.
@click.command(help=__doc__.replace("\\b", "\b"))
@click.option("--target", type=click.Choice(list(TRANSPORTS)), required=True)
@click.option(
    "--warehouse",
    type=click.Choice(WAREHOUSES),
    envvar="CLV_TARGET",
    default="duckdb",
    help="Target of profiles.yml; default: CLV_TARGET, else duckdb.",
)
@click.option("--limit", type=click.IntRange(1), help="Sync so many rows at most.")
@flag("--dry-run", help="Count, sync nothing, write nothing.")
@flag("--check", help="Log in, compare the columns, and end.")
@flag("--create", help="With --check: create what is missing.")
@flag("--full", help="Sync the whole audience, not the changes.")
@flag("--withdrawals", help="Only remove who refused, by the newest consents.")
@flag("--reconcile", help="First read what the destination holds, and mend the ledger.")
@flag("--erase", help="Delete what export_deletions names, and forget it there.")
@flag("--rotate-key", help="Move customers from keys of another secret or kind.")
@flag("--retry-rejected", help="Sync quarantined rows too.")
@flag("--accept-audience", help="Sync an old, an earlier or another shop's audience.")
@flag("--accept-consents", help="Sync with fewer consents or statuses than before.")
@flag("--accept-nobody", help="Sync though statements are about nobody who is known.")
@flag("--break-lock", help="Take over from a run at work.")
@flag("--json", help="End with a line of JSON.")
@number("--max-remove-pct", default=20.0, help="Stop where more active ones would go.")
@number("--max-add-pct", default=20.0, help="Stop where more come; not the first time.")
@number("--max-reject-pct", default=5.0, help="Stop where more than it and 20 fail.")
@number("--pause", default=2.0, help="Seconds between tries.")
@number("--timeout", default=60.0, help="Seconds for a call.")
@number("--deadline", default=900.0, help="Seconds for a request to be worked off.")
def main(warehouse: str, **chosen: Any) -> None:
    started = time.monotonic()
    settings = SimpleNamespace(**chosen, found=0)
    report: Row = {"target": settings.target}
    code, opened, transport = 0, None, None
    try:
        modes = [name for name in MODES if chosen[name]]
        if len(modes) > 1 or (settings.create and not settings.check):
            raise ConfigError("one of them at a time, and --create with --check only")
        mode = (modes or ["delta"])[0].removesuffix("_key")
        is_trial = settings.dry_run or settings.check
        opened = DuckDb(is_trial) if warehouse == "duckdb" else BigQuery(warehouse)
        steps = [mode]
        if not is_trial:
            steps = {"reconcile": ["reconcile", "delta"], "erase": []}.get(mode, steps)
            waiting = f"select 1 from {opened.prefix}_state.export_deletions "
            # Erasures first, in every mode: the ledger knows nothing of their rows.
            if opened.rows(f"{waiting} where target = '{settings.target}' limit 1"):
                steps = ["erase", *steps]
        for step in steps:
            sync = Sync(opened, settings, step, transport)
            try:
                sync.run()
            finally:
                report |= sync.report()
            transport = sync.transport
            if (code := sync.exit_code) == INTERRUPTED:
                break
    except Exception as error:
        code = judge(error)
    finally:
        if opened:
            opened.close()
    report |= {"exit_code": code, "seconds": round(time.monotonic() - started, 1)}
    if settings.json:
        print(json.dumps(report))
    sys.exit(code)


if __name__ == "__main__":
    main()
