"""Plant faults in a finished build, and see that each is noticed.

usage: plant_faults.py [--build FOLDER] [--only TEXT]

The invariants (tests/invariants) and the alert rules (seeds/reference/alert_rules.csv)
guard what must always be true. Each has at least one fault in planted_faults.py: SQL
that damages a table of a finished build as a defect of its model would. What is made of
the table is made again from it, by the SQL that dbt has compiled; then every invariant
that reads any of it is run, and the alerts are read. Fits are not made again: who reads
one that would now be another looks on only where it is the guard of the fault.

Lists each fault and who noticed it. Exits with 1 when the guard of a fault does not
notice it, when it cannot be planted, or when an invariant or a rule has no fault.

FOLDER holds warehouse.duckdb, target/ and nothing else that is read, as the class Build
of test_builds.py leaves them; without it the shop there that has every input is built
first, in a scratch folder, which takes a minute. The file is copied, not changed.
"""

import argparse
import csv
import json
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import duckdb

ALERTS, INVARIANTS = "alerts", "tests/invariants/"
# Made of what a hook of its model writes.
KEPT = {"customer_equity_daily"}
CHANGED = re.compile(r"\s*(?:update|delete from|insert into|alter table) ([\w.]+)")
REPLACED = re.compile(r"\s*replace view (\w+) as\s+(.*)", re.DOTALL)


@dataclass
class Fault:
    """Something wrong: who must notice it, what it is in words, and how to do it.

    `plant` are SQL statements, one by one. `replace view NAME as ...` makes a view
    anew from `this`, what it is now. `world` is done before, when the shop must be
    another for the fault to have a place; that alone must not be noticed by the guard.
    """

    guard: str
    what: str
    plant: str
    world: str = ""


class FinishedBuild:
    """A build and its manifest; what is done to it is rolled back."""

    def __init__(self, folder, scratch):
        for file in folder.glob("warehouse.duckdb*"):  # with what is not yet in it
            shutil.copy(file, scratch)
        database = Path(scratch) / "warehouse.duckdb"
        self.connection = duckdb.connect()
        # Views name the database, which is named after its file.
        self.connection.execute(f"attach '{database}' as warehouse")
        manifest = json.loads((folder / "target" / "manifest.json").read_text())
        self.nodes = {
            each["unique_id"]: each
            for each in manifest["nodes"].values()
            if each["resource_type"] in ("model", "seed", "test")
        }
        self.ids = {
            each["name"]: unique_id
            for unique_id, each in self.nodes.items()
            if each["resource_type"] != "test"
        }
        for unique_id, each in manifest["sources"].items():
            self.ids[f"{each['schema']}.{each['name']}"] = unique_id
        self.parents = {
            unique_id: set(each["depends_on"]["nodes"])
            for unique_id, each in self.nodes.items()
            if each["resource_type"] != "seed"
        }
        self.order = list(TopologicalSorter(self.parents).static_order())
        schemas = dict.fromkeys(
            each["schema"]
            for each in self.nodes.values()
            if each["resource_type"] != "test"
        )
        path = ",".join(f"warehouse.{schema}" for schema in schemas)
        self.connection.execute(f"set search_path = '{path}'")
        self.invariants = {
            each["name"]: unique_id
            for unique_id, each in self.nodes.items()
            if each["original_file_path"].startswith(INVARIANTS)
        }
        with (folder / "seeds" / "reference" / "alert_rules.csv").open() as file:
            self.rules = [row["rule"] for row in csv.DictReader(file)]

    def change(self, statements):
        """Run statements; return the ids of what they changed."""
        changed = set()
        for statement in filter(str.strip, statements.split(";")):
            if replaced := REPLACED.fullmatch(statement):
                name, query = replaced.groups()
                unique_id = self.ids[name]
                node = self.nodes[unique_id]
                self.connection.execute(
                    f"create or replace view {node['schema']}.{name} as "
                    f"with this as (\n{node['compiled_code']}\n) {query}"
                )
            else:
                name = CHANGED.match(statement)[1]
                unique_id = self.ids.get(name) or self.ids[f"stg_{name.split('.')[1]}"]
                done = self.connection.execute(statement).fetchone()
                if done and not done[0]:
                    raise ValueError(f"nothing to change: {statement.strip()}")
            changed.add(unique_id)
        return changed

    def spread(self, changed, guard):
        """Who is to look at a change, and what is to be made again for them.

        The guard, and of the others those who read no fit that the change may change,
        nor what a hook has kept: both stay as they are.
        """
        affected, stale = set(changed), set()
        for unique_id in self.order:
            parents = self.parents.get(unique_id, set())
            if unique_id in changed or not parents & affected:
                continue
            affected.add(unique_id)
            node = self.nodes[unique_id]
            is_kept = node.get("language") == "python" or node["name"] in KEPT
            if is_kept or parents & stale:
                stale.add(unique_id)
        observers = {*self.invariants.values(), self.ids[ALERTS]} & affected - stale
        observers.add(self.invariants.get(guard, self.ids[ALERTS]))
        needed = set(observers)
        for unique_id in reversed(self.order):
            if unique_id in needed:
                needed |= self.parents.get(unique_id, set())
        return observers, (needed & affected) - set(changed)

    def carry(self, changed, again):
        """Make again what is made of what has changed; return all that then has."""
        changed = set(changed)
        for unique_id in self.order:
            if unique_id not in again or not self.parents[unique_id] & changed:
                continue
            node = self.nodes[unique_id]
            if node.get("language") == "python":
                continue
            if node["config"]["materialized"] in ("table", "incremental"):
                name, query = node["name"], node["compiled_code"]
                rows = f"select count(*), sum(hash(rows)::hugeint) from {name} as rows"
                before = self.connection.execute(rows).fetchone()
                self.connection.execute(f"delete from {name}")
                self.connection.execute(f"insert into {name} by name (\n{query}\n)")
                if self.connection.execute(rows).fetchone() == before:
                    continue
            changed.add(unique_id)
        return changed

    def noticed(self, observers):
        """The invariants with rows, and the alerts that ring, each by its limit."""
        found = set()
        for name, unique_id in self.invariants.items():
            if unique_id in observers:
                test = self.nodes[unique_id]["compiled_code"]
                if self.connection.execute(test).fetchone():
                    found.add((name, None))
        if self.ids[ALERTS] in observers:
            ringing = self.connection.execute(
                "select rule, breached_limit from alerts where muted_because is null"
            )
            found |= set(ringing.fetchall())
        return found

    def plant(self, fault):
        """Do it and undo it; return who noticed it and what is wrong with that."""
        self.connection.execute("begin")
        try:
            before = self.clean
            for statements in filter(None, (fault.world, fault.plant)):
                changed = self.change(statements)
                observers, again = self.spread(changed, fault.guard)
                observers &= self.carry(changed, again)
                found = self.noticed(observers)
                if statements is fault.world:
                    before = found | {
                        (name, limit)
                        for name, limit in self.clean
                        if self.invariants.get(name, self.ids[ALERTS]) not in observers
                    }
        except (duckdb.Error, ValueError, KeyError) as error:
            return set(), f"cannot be planted: {error}"
        finally:
            self.connection.execute("rollback")
        found = {name for name, _ in found - before}
        return found, "" if fault.guard in found else "is not noticed by its guard"

    def plant_all(self, faults):
        """Plant one by one, print who noticed each; return what is wrong."""
        self.clean = self.noticed({*self.invariants.values(), self.ids[ALERTS]})
        wrong = [
            f"{name} finds a fault in the build as it is"
            for name, _ in self.clean
            if name in self.invariants
        ]
        for fault in faults:
            found, fails = self.plant(fault)
            others = sorted(found - {fault.guard})
            first = f"NOT {fault.guard}" if fails else fault.guard
            print(f"{fault.what}\n    {', '.join([first, *others])}")
            if fails:
                wrong.append(f"{fault.guard}: {fault.what}: {fails}")
        return wrong

    def without_fault(self, faults):
        """Sentences about guards that nothing tries, and faults without a guard."""
        guards = {*self.invariants, *self.rules}
        tried = {each.guard for each in faults}
        return [
            *(f"{name} has no fault that tries it" for name in sorted(guards - tried)),
            *(f"{name} is no guard of this build" for name in sorted(tried - guards)),
        ]


def build_shop(folder):
    """The shop that has every input, built with its tests."""
    from test_builds import RICH, SEEDS, Build, rich_inputs

    Build(folder, SEEDS).load(**rich_inputs()).build(tests=True, **RICH)


def main(arguments=None):
    from planted_faults import FAULTS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="a finished build")
    parser.add_argument("--only", default="", metavar="TEXT", help="in guard or words")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.build
        if folder is None:
            folder = Path(scratch) / "shop"
            folder.mkdir()
            build_shop(folder)
        build = FinishedBuild(folder, scratch)
        faults = [
            each for each in FAULTS if options.only in f"{each.guard} {each.what}"
        ]
        wrong = build.plant_all(faults) + build.without_fault(FAULTS)
    print(f"\n{len(faults)} faults in {time.monotonic() - started:.0f} s.")
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
