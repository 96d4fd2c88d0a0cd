"""Logs on DuckDB: two shops in one file, as-of dates that move back, loads refused.

One story, of which the tests read the chapters; one set of variables for most of it.
"""

import hashlib
import json

import duckdb
import numpy as np
import pandas as pd
import pytest
from test_builds import HARMLESS, Build

pytestmark = pytest.mark.slow

FIRST, SECOND, BACK, SHORTER = "2024-05-31", "2024-06-30", "2024-06-15", "2024-06-20"
VARIABLES = {
    "clv_backtest_days": [91],
    "clv_canary_share": 0,
    "clv_consent": "managed_at_destination",
}
SELECTED = (
    *("+customer_segments", "+segment_transitions", "+customer_equity_daily"),
    *("+model_registry", "+score_distribution", "+export_marketing_cloud__delta"),
)
# What a run remembers, and the tables that only grow.
STATE = {
    "registry_parameters": "clv_state",
    "registry_events": "clv_state",
    "accepted_loads": "clv_state",
    "score_profiles": "clv_state",
    "equity_history": "clv_state",
    "export_ledger": "clv_state",
    "int_segments__remembered": "clv_state",
    "int_segments__frozen_cut_points": "clv_state",
}


def shop(prefix, first_day, customers, seed):
    """Orders of customers who come for two years and buy at a rate of their own."""
    rng = np.random.default_rng(seed)
    span = (pd.Timestamp(SECOND) - pd.Timestamp(first_day)).days + 1
    rates = rng.gamma(0.8, 1 / 60, customers) + 1 / 400
    rows = []
    for number, rate in enumerate(rates):
        day = rng.uniform(0, span)
        while day < span:
            rows.append((f"{prefix}{number:04d}", day, round(rng.gamma(3, 15), 2)))
            day += 1 + rng.exponential(1 / rate)
    orders = pd.DataFrame(rows, columns=["user_id", "day", "amount"])
    days = pd.to_timedelta(orders.pop("day").astype(int), "D")
    return orders.assign(ts=pd.Timestamp(first_day) + days)


def until(log, day):
    return log[log["ts"] <= day]


class Shops(Build):
    """A file, what happened to it, and what it says afterwards."""

    def full(self, log, command="build", **variables):
        """Load a log and build from it; return the chapter."""
        self.load(transactions=log)
        build = self.build if command == "build" else self.run_plainly
        printed = build("--select", *SELECTED, **VARIABLES, **variables)
        return self.chapter(printed)

    def run_plainly(self, *options, **variables):
        """`dbt run`: no test, no seed."""
        return self.call(
            *("dbt", "--no-use-colors", "run", *options),
            *("--vars", json.dumps(variables)),
            may_fail=True,
            knows=variables.keys() <= HARMLESS,
        )

    def chapter(self, printed):
        """What was said, and what the file holds."""
        said = [
            line
            for line in printed.splitlines()
            if "clv: " in line and "clv: reads " not in line
        ]
        return {
            "said": " ".join(said),
            "logs": self.read("from clv_intermediate.int_logs order by seen_until"),
            "state": {
                name: self.read(f"from {schema}.{name} order by all")
                for name, schema in STATE.items()
            },
            "registry": self.read("from clv.model_registry"),
            "served": self.read(
                "select customer_id from clv_intermediate.int_scores__served"
            ),
            "transitions": self.read("from clv.segment_transitions order by all"),
            "segments": self.read("from clv.customer_segments order by customer_id"),
            "equity": self.read(
                "from clv.customer_equity_daily order by as_of_date, horizon_days"
            ),
            "delta": self.read(
                "from clv_export.export_marketing_cloud__delta where is_due"
            ),
        }

    def forget_logs(self):
        """Make the state as it was before a release that tells logs apart."""
        with duckdb.connect() as connection:
            connection.execute(f"attach '{self.database}' as warehouse")
            connection.execute("use warehouse")
            for name, schema in STATE.items():
                connection.execute(f"alter table {schema}.{name} drop column log_id")
            for column in ("first_customer_hash", "last_customer_hash"):
                connection.execute(
                    f"alter table clv_state.accepted_loads drop column {column}"
                )
            for table, new, old in (
                ("export_ledger", "is_synced", "is_shipped"),
                ("export_runs", "synced_rows", "shipped_rows"),
                ("registry_parameters", "spec", "recipe"),
            ):
                connection.execute(
                    f"alter table clv_state.{table} rename column {new} to {old}"
                )

    def sync(self):
        """Write into the ledger that all that the delta asks for has arrived at crm."""
        with duckdb.connect() as connection:
            connection.execute(f"attach '{self.database}' as warehouse")
            connection.execute("use warehouse")
            connection.execute(
                """
                insert into clv_state.export_ledger (
                    run_id, run_number, target, customer_id, customer_key, key_id, op,
                    row_hash, is_synced, is_transient, log_id, recorded_at
                )
                select
                    'r1', 1, target, customer_id, md5(customer_id), 's1', op,
                    row_hash, true, false, log_id, timestamp '2024-07-01'
                from clv_export.export_marketing_cloud__delta
                cross join clv_intermediate.int_logs
                where target = 'crm' and is_due and is_current
                """
            )

    def fingerprints(self):
        """A hash of every table of schemas clv and clv_state."""
        names = self.read(
            "select schema_name || '.' || table_name as name from duckdb_tables() "
            "where schema_name in ('clv', 'clv_state') order by 1"
        )["name"]
        return {
            name: hashlib.sha256(
                self.read(f"from {name} order by all").to_csv().encode()
            ).hexdigest()
            for name in names
        }


@pytest.fixture(scope="module")
def ours():
    return shop("a", "2023-01-01", 600, 1)


@pytest.fixture(scope="module")
def theirs():
    """Another shop of the same months."""
    return shop("b", "2022-09-01", 900, 2)


@pytest.fixture(scope="module")
def story(ours, theirs, tmp_path_factory):
    """What is there after each chapter."""
    build = Shops(tmp_path_factory.mktemp("logs"))
    told = {"first": build.full(until(ours, FIRST))}
    build.forget_logs()
    told["second"] = build.full(ours)
    build.sync()
    told["exported"] = build.chapter("")
    told["back"] = build.full(ours, clv_as_of_date=BACK)
    told["theirs"] = build.full(theirs)
    told["forward"] = build.full(ours)
    before = build.fingerprints()
    told["refused"] = build.full(until(ours, SHORTER), command="run")
    assert build.exit_code != 0
    told["refused"]["changed"] = {
        name for name, print_ in build.fingerprints().items() if print_ != before[name]
    }
    told["shorter"] = build.full(until(ours, SHORTER), clv_accept_load=True)
    told["on"] = build.full(until(ours, "2024-06-21"))
    return told


def current(chapter):
    logs = chapter["logs"]
    return logs.loc[logs["is_current"], "log_id"].item()


def of_log(chapter, name, log_id):
    rows = chapter["state"][name]
    return rows[rows["log_id"] == log_id].reset_index(drop=True)


def assert_same_state(log_id, before, after, but=()):
    for name in STATE:
        if name not in but:
            pd.testing.assert_frame_equal(
                of_log(before, name, log_id), of_log(after, name, log_id), obj=name
            )


def test_an_upgrade_goes_on_with_the_state_of_before(story):
    first, second = story["first"], story["second"]
    assert current(second) == "original"
    assert second["said"] == ""
    for name in STATE:
        rows = second["state"][name]
        assert set(rows["log_id"]) <= {"original"}, name
        assert len(rows) >= len(first["state"][name]), name
    assert "is_synced" in second["state"]["export_ledger"]
    assert "is_shipped" not in second["state"]["export_ledger"]
    assert len(second["registry"]) == 2
    assert (second["segments"]["segment_since"] == FIRST).any()
    assert len(second["equity"]) == 8


def test_another_shop_starts_its_own_state(story, theirs):
    ours_id, theirs_id = current(story["second"]), current(story["theirs"])
    assert ours_id != theirs_id
    chapter = story["theirs"]
    assert "another log than those accepted as of 2024-06-30" in chapter["said"]
    assert f"the state of log {ours_id} is kept" in chapter["said"]
    assert chapter["logs"]["log_id"].tolist() == [theirs_id]
    buyers = theirs["user_id"].nunique()
    assert chapter["registry"]["status"].tolist() == ["champion"]
    assert chapter["registry"]["reason"].tolist() == ["the first model"]
    assert chapter["served"]["customer_id"].str.startswith("b").all()
    assert chapter["transitions"]["customers"].sum() == buyers
    assert set(chapter["transitions"]["from_segment"]) == {"new"}
    assert set(chapter["equity"]["as_of_date"]) == {pd.Timestamp(SECOND)}
    assert set(chapter["equity"]["customers"]) == {buyers}
    assert set(chapter["delta"]["change"]) == {"new"}
    assert_same_state(ours_id, story["exported"], chapter)


def test_a_shop_that_was_there_before_goes_on(story):
    ours_id, theirs_id = current(story["second"]), current(story["theirs"])
    chapter = story["forward"]
    assert current(chapter) == ours_id
    assert f"continue log {ours_id}" in chapter["said"]
    pd.testing.assert_frame_equal(
        chapter["registry"], story["second"]["registry"], check_like=True
    )
    for name in ("segments", "transitions"):
        pd.testing.assert_frame_equal(chapter[name], story["second"][name])
    assert len(chapter["equity"]) == len(story["second"]["equity"]) == 8
    assert set(chapter["delta"]["target"]) == {"sfmc", "files", "google_ads"}
    assert_same_state(theirs_id, story["theirs"], chapter)


def test_an_earlier_as_of_date_freezes_nothing_and_changes_no_newer_state(story):
    ours_id = current(story["second"])
    chapter = story["back"]
    assert current(chapter) == f"{ours_id}@{BACK}"
    assert "lies before 2024-06-30" in chapter["said"]
    set_aside = of_log(story["second"], "int_segments__remembered", ours_id)
    set_aside = (set_aside["refreshed_on"] > BACK).sum()
    assert set_aside > 0
    assert f" {set_aside} rows of segments and 1 days of equity" in chapter["said"]
    # Decided again: from what was remembered of May.
    told = chapter["segments"]
    assert set(told["as_of_date"]) == {pd.Timestamp(BACK)}
    assert (told["segment_since"] == BACK).any()
    assert (told["segment_since"] <= BACK).all()
    assert chapter["equity"]["as_of_date"].max() == pd.Timestamp(BACK)
    assert pd.Timestamp(FIRST) in set(chapter["equity"]["as_of_date"])
    assert set(chapter["delta"]["target"]) == {"crm", "sfmc", "files", "google_ads"}
    assert "new" not in set(chapter["delta"].query("target == 'crm'")["change"])
    assert_same_state(ours_id, story["exported"], chapter)


def test_a_refused_load_leaves_everything_as_it_is(story):
    assert "transactions.ts gives" in story["refused"]["said"]
    assert "clv_accept_load: true" in story["refused"]["said"]
    assert story["refused"]["changed"] == set()
    pd.testing.assert_frame_equal(story["refused"]["logs"], story["forward"]["logs"])


def test_a_shorter_load_that_is_accepted_is_where_the_log_goes_on(story):
    ours_id = current(story["second"])
    chapter = story["shorter"]
    day = pd.Timestamp(chapter["segments"]["as_of_date"].max())
    assert day <= pd.Timestamp(SHORTER)
    assert current(chapter) == f"{ours_id}.2"
    assert "for good" in chapter["said"]
    assert chapter["logs"]["seen_until"].tolist() == [day - pd.Timedelta(days=1), day]
    assert (chapter["segments"]["segment_since"] == day).any()
    assert (chapter["segments"]["segment_since"] <= day).all()
    assert chapter["equity"]["as_of_date"].max() == day
    assert_same_state(ours_id, story["forward"], chapter)
    after = story["on"]
    assert current(after) == f"{ours_id}.2"
    assert "set aside" not in after["said"]
    days = set(after["equity"]["as_of_date"])
    assert {pd.Timestamp(FIRST), day} < days
    assert pd.Timestamp(SECOND) not in days
    assert_same_state(ours_id, story["forward"], after)
