"""Kill the export again and again, over a destination that is late and unordered.

usage: attack_export.py --built FILE [--kills 200] [--target sfmc] [--seed 1]

FILE is a built DuckDB file, of which the shapes and views of the export are taken. Each
round changes the audience, starts scripts/export_segments.py (now and then for
withdrawals, the whole audience, or another secret), kills it with signal 9 at a random
moment, and runs it again until it ends well. Every run is by one of two hosts, whose
clocks are an hour apart. Then, with nothing left in the queue, the active rows there
must be the audience, and the rest blank. All is as of one day. Now and then the state
is lost, or an old copy of it restored: then the export must refuse, and mend it when
told.
"""

# ruff: noqa: D102

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from salesforce_stand_in import StandIn
from test_scripts_export_segments import (
    SECRET,
    World,
    empty,
    forget,
    opened,
    wait_until,
)

LATE = (0.0, 1.5)
PATIENCE = ("--pause", "0.05", "--timeout", "20", "--deadline", "4")
ACCEPTED = ("--max-remove-pct", "100", "--max-add-pct", "9999")
CUSTOMERS = 60
CLOCKS = ("-30", "30")
# The script on a host whose clock differs by so many minutes: a file's time is its own.
HOST = """
import runpy, sys
minutes = sys.argv.pop(1)
sys.path.insert(0, sys.argv[1].rpartition("/")[0])
import export_warehouse
export_warehouse.DuckDb.now = (
    "cast(now() at time zone 'UTC' as timestamp) + interval (" + minutes + ") minute"
)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Campaign:
    """One destination, one warehouse file, and what befalls them."""

    def __init__(self, folder, built, target, seed, setenv):
        self.random, self.target = random.Random(seed), target
        self.stand_in = StandIn().__enter__()
        empty(self.stand_in)
        for name, value in self.stand_in.environment.items():
            setenv(name, value)
        self.stand_in.late, self.stand_in.is_shuffled = LATE, True
        self.setenv, patch = setenv, SimpleNamespace(setenv=setenv)
        self.world = World(folder, built, self.stand_in, patch, None)
        self.tally = dict.fromkeys(("kills", "runs", "losses", "rotations"), 0)
        self.copy = None

    def start(self, *options):
        self.tally["runs"] += 1
        host = ("-c", HOST, self.random.choice(CLOCKS))
        options = (*PATIENCE, *ACCEPTED, *options)
        return self.world.start(*options, target=self.target, host=host)

    def change(self):
        """Take another audience, of which some have other values."""
        people = self.random.sample(range(CUSTOMERS), self.random.randint(20, 50))
        half = len(people) // 2
        self.world.audience(*people[:half], clv_segment=f"S{self.random.random()}")
        self.world.add(self.world.row(), people[half:])

    def round(self):
        """Change, start, kill, and end well."""
        self.change()
        mode = self.random.choice((*[()] * 5, ("--full",), ("--withdrawals",)))
        if self.random.random() < 0.15:
            self.tally["rotations"] += 1
            self.setenv("CLV_EXPORT_SECRET", SECRET + str(self.tally["rotations"]))
            mode = ("--rotate-key",)
        seen = len(self.stand_in.requests)
        process = self.start(*mode)
        folder = self.world.files / self.target
        wait_until(
            lambda: (
                len(self.stand_in.requests) > seen
                or any(folder.glob(".run-*"))
                or process.poll() is not None
            )
        )
        time.sleep(self.random.uniform(0, 0.3 if self.target == "files" else 3))
        if process.poll() is None:
            self.tally["kills"] += 1
        process.kill()
        self.world.finish(process)
        if self.random.random() < 0.2:
            self.lose()
        self.heal(*(mode if mode == ("--rotate-key",) else ()))

    def lose(self):
        """Lose the state, or have an old copy of it."""
        self.tally["losses"] += 1
        if self.copy and self.random.random() < 0.5:
            tables = ("runs", "requests", "ledger")
            for table in tables:
                self.world.sql(f"delete from clv_state.export_{table}")
            for table in tables:
                self.world.sql(
                    f"attach '{self.copy}' as old (read_only); insert into "
                    f"clv_state.export_{table} from old.clv_state.export_{table}"
                )
        else:
            forget(self.world)
        # Without the state nobody can know of what is under way.
        wait_until(lambda: not self.stand_in.connections)
        wait_until(lambda: not self.stand_in.queue)

    def heal(self, *mode):
        """Run until it ends well, and compare."""
        codes = []
        for _ in range(8):
            process = self.start(*mode)
            code = self.world.finish(process)
            codes.append(code)
            if code == 0:
                break
            if code == 5:
                mode = ("--full" if self.target == "files" else "--reconcile",)
            elif code == 2 or (mode == ("--reconcile",) and code != 4):
                mode = ("--rotate-key",)
        assert codes[-1] == 0, (codes, self.world.printed[-2000:])
        wait_until(lambda: not self.stand_in.queue)
        assert self.world.is_in_step(self.target), (codes, self.tally, mode)
        if self.random.random() < 0.3:
            self.copy = self.world.database.with_name("copy.duckdb")
            self.copy.write_bytes(self.world.database.read_bytes())

    def close(self):
        self.stand_in.__exit__()


def attack(folder, built, target, kills, seed, setenv=os.environ.__setitem__):
    """Return how often what happened."""
    campaign = Campaign(folder, built, target, seed, setenv)
    try:
        while campaign.tally["kills"] < kills:
            campaign.round()
            print(f"{target}: {campaign.tally}", file=sys.stderr)
    finally:
        campaign.close()
    return campaign.tally


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--built", type=Path, required=True, metavar="FILE")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--target", default="sfmc", choices=["sfmc", "crm", "files"])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = attack(
            Path(folder),
            opened(options.built),
            options.target,
            options.kills,
            options.seed,
        )
    print(f"{options.target}: {tally} in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
