"""Play a month of the default calendar on a shop whose customers never change.

usage: play_calendar.py [--days N] [--customers N] [--late DATE] [--failed DATE]
                        [--seed N] [--tests] [--keep DIR]

Every run of .github/workflows/production.yml is made in its order: daily_scoring every
morning as of the day before, weekly_backtest on Sundays, monthly_refit on the first.
The shop is a simulation of a known BG/NBD process with constant prices, so that there
is nothing to find but what went wrong with the runs: on the morning of --late the lines
of the day before are missing, on that of --failed nothing runs. Whatever else rings is
a false alarm.

Prints a line per run: the day, the kind, what it is as of, the version that serves (a
canary with a question mark), how many customers moved to another segment, the seconds,
and the alerts that are loud. Exits with 1 where a run failed, or rang where it should
not have, or did not where it should.
"""

import argparse
import datetime
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from test_builds import Build

# The first full run; it is a Sunday.
FIRST = datetime.date(2025, 6, 1)
DAY = datetime.timedelta(days=1)
HISTORY_DAYS = 800
# A shop of so few is told of it at every refit, unless it says that they are enough.
FEW = {"clv_min_stratum_customers": 200}


def simulate(customers: int, days: int, seed: int = 1) -> pd.DataFrame:
    """Orders of customers who come evenly, buy at random and leave at random.

    Purchase rates are gamma (1.5, 25 days), a customer leaves after a purchase with a
    beta (1, 8) probability, and an order costs 10 to 100 whoever makes it: gamma-gamma.
    """
    rng = np.random.default_rng(seed)
    first = FIRST - HISTORY_DAYS * DAY
    lines = []
    for customer in range(customers):
        rate = rng.gamma(1.5, 1 / 25)
        dropout = rng.beta(1, 8)
        price = rng.lognormal(3.4, 0.4)
        clock = rng.uniform(0, HISTORY_DAYS + days)
        while clock < HISTORY_DAYS + days:
            lines.append((f"c{customer}", clock, price * rng.gamma(8, 1 / 8)))
            if rng.random() < dropout:
                break
            clock += rng.exponential(1 / rate)
    orders = pd.DataFrame(lines, columns=["user_id", "ts", "amount"])
    return orders.assign(
        ts=pd.Timestamp(first) + pd.to_timedelta(orders["ts"], "D").dt.floor("s"),
        amount=orders["amount"].round(2),
        order_id=[f"o{number}" for number in range(len(orders))],
    )


def calendar(days: int):
    """Runs of the workflow from its first refit on, in their order: day and kind."""
    yield FIRST, "monthly_refit"
    for number in range(1, days + 1):
        day = FIRST + number * DAY
        if day.weekday() == 6:
            yield day, "weekly_backtest"
        yield day, "daily_scoring"
        if day.day == 1:
            yield day, "monthly_refit"


class Month(Build):
    """A project whose runs are those of the workflow."""

    def __init__(self, folder: Path, orders: pd.DataFrame, tests: bool = False):
        super().__init__(folder)
        self.orders, self.tests = orders, tests

    def play(self, day: datetime.date, kind: str, missing: int = 0) -> dict:
        """Make the run of a morning, to which the last `missing` days did not come."""
        start = time.monotonic()
        as_of = day - DAY
        delivered = pd.Timestamp(day) - pd.Timedelta(missing, "D")
        self.load(transactions=self.orders[self.orders["ts"] < delivered])
        printed = self.build(
            *("--selector", kind),
            tests=self.tests,
            may_fail=True,
            clv_run="daily" if kind == "daily_scoring" else "full",
            clv_as_of_date=str(as_of),
            clv_now=str(day),
            clv_fail_on="page",
            **FEW,
        )
        seconds = time.monotonic() - start
        run = {"day": day, "kind": kind, "as_of": as_of, "printed": printed}
        return run | {"exit_code": self.exit_code, "seconds": seconds} | self.found()

    def found(self) -> dict:
        """What is loud, who serves and who moved, as the last run left it."""
        alerts = self.read(
            "select rule, severity, subject, measured from clv.alerts "
            "where muted_because is null order by rule"
        )
        serving = self.read(
            "select distinct model_version, status from clv.model_registry "
            "where status in ('champion', 'canary') order by status desc"
        )
        moved = self.read(
            "select count(*) as moved from clv.customer_segments "
            "where segment_since = as_of_date and previous_segment is not null"
        )
        return {
            "loud": alerts["rule"].tolist(),
            "alerts": [
                f"{row.severity} {row.rule} ({row.subject} {row.measured:.3g})"
                for row in alerts.itertuples()
            ],
            "serving": [
                f"{row.model_version}{'' if row.status == 'champion' else '?'}"
                for row in serving.itertuples()
            ],
            "moved": int(moved["moved"][0]),
        }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    day = datetime.date.fromisoformat
    parser.add_argument("--days", type=int, default=33, help="days after the first")
    parser.add_argument("--customers", type=int, default=700)
    parser.add_argument("--late", type=day, default=day("2025-06-11"))
    parser.add_argument("--failed", type=day, default=day("2025-06-19"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", action="store_true", help="data tests, too")
    parser.add_argument("--keep", type=Path, help="folder of the project; a new one")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch) / "month"
        folder.mkdir(parents=True)
        orders = simulate(options.customers, options.days + 1, options.seed)
        month, wrong = Month(folder, orders, options.tests), 0
        for today, kind in calendar(options.days):
            if today == options.failed and kind == "daily_scoring":
                print(f"{today:%a %F}  {kind:<16}failed: nothing ran", flush=True)
                continue
            late = today == options.late
            run = month.play(today, kind, missing=int(late))
            right = ["data_stale"] if late else []
            # a page fails the build, by its test
            ended = run["exit_code"] == 0
            is_wrong = run["loud"] != right or not ended
            wrong += is_wrong
            print(
                f"{today:%a %F}  {kind:<16}as of {run['as_of']}  "
                f"{' '.join(run['serving']):<40}{run['moved']:>4} moved "
                f"{run['seconds']:>5.0f} s  {', '.join(run['alerts']) or '-'}"
                f"{'  late' if late else ''}{'  WRONG' if is_wrong else ''}",
                flush=True,
            )
            if not ended:
                print(run["printed"][-3000:])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
