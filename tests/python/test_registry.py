"""The registry of model versions on DuckDB: gate, canary, daily runs, rollback."""

import duckdb
import pandas as pd
import pytest
from play_sequences import make_project
from test_builds import Build, Warehouse

pytestmark = pytest.mark.slow

FIRST, SECOND, DAILY, LATER = "1998-03-31", "1998-04-28", "1998-05-05", "1998-05-20"
LAST = "1998-05-26"
CUTOFFS = {"clv_backtest_days": [91]}  # all that the gate needs
FITS = ("int_purchases__parameters", "int_gamma_gamma__parameters")


class Registry(Build):
    """A build with what the tests ask of it, of the models that serve customers."""

    def __init__(self, folder):
        Warehouse.__init__(self, folder / "warehouse.duckdb")
        self.folder = make_project(folder)
        self.is_tested, self.is_plain = False, False

    def full(self, as_of, **variables):
        """Run everything that serves customers, as of a day."""
        return self.build(clv_as_of_date=as_of, **CUTOFFS, **variables)

    def daily(self, as_of, **options):
        """Score as of a day."""
        return self.build(
            *("--selector", "daily_scoring"),
            clv_run="daily",
            clv_as_of_date=as_of,
            **CUTOFFS,
            **options,
        )

    def operate(self, name, arguments, **options):
        """Run an operation on the registry."""
        command = ("dbt", "run-operation", name, "--args", arguments)
        return self.call(*command, knows=True, **options)

    def registry(self):
        """Version → status."""
        return self.read(
            "select model_version, status from clv.model_registry"
        ).set_index("model_version")["status"]

    def served(self):
        """Version → share of buyers served by it."""
        return self.read(
            "select model_version from clv.customer_lifetime_value where frequency >= 0"
        )["model_version"].value_counts(normalize=True)


@pytest.fixture(scope="module")
def story(sample, tmp_path_factory):
    """What the registry says after each chapter."""
    build = Registry(tmp_path_factory.mktemp("registry")).load(transactions=sample)
    chapters = {}

    def chapter(name, printed=""):
        chapters[name] = {
            "registry": build.registry(),
            "served": build.served(),
            "events": build.read("select * from clv_state.registry_events"),
            "parameters": build.read(f"select * from clv_intermediate.{FITS[0]}"),
            "scores": build.read(
                "from clv.customer_lifetime_value order by customer_id"
            ),
            "equity": build.read(
                "from clv.customer_equity_daily order by as_of_date, horizon_days"
            ),
            "recorded": build.read("from clv_state.equity_history"),
            "printed": printed,
        }

    chapter("first", build.full(FIRST))
    chapter("again", build.full(FIRST))
    chapter("refit", build.full(SECOND))
    chapter("daily", build.daily(DAILY))
    printed = build.operate("rollback_model", '{reason: it\'s "worse"}')
    build.daily(DAILY)
    chapter("rollback", printed)
    refused = build.operate("rollback_model", "{reason: once more}", may_fail=True)
    assert build.exit_code != 0
    chapters["rollback"]["again"] = refused
    version = chapters["refit"]["registry"].index.difference(
        chapters["first"]["registry"].index
    )[0]
    build.operate("promote_model", f"{{version: {version}, reason: it was right}}")
    build.daily(DAILY)
    again = f"{{version: {version}, reason: once more}}"
    chapter("promotion", build.operate("promote_model", again, may_fail=True))
    assert build.exit_code != 0
    build.daily(LATER)
    refused = build.operate("rollback_model", "{reason: too late}", may_fail=True)
    assert build.exit_code != 0
    chapter("after probation", refused)
    first = chapters["first"]["registry"].index[0]
    build.operate("pin_model", f"{{version: {first}, reason: we know it}}")
    build.daily(LATER)
    chapter("pinned")
    return build, chapters


def versions(chapters):
    """The first version and the one of the refit."""
    first = chapters["first"]["registry"].index[0]
    return first, chapters["refit"]["registry"].index.difference([first])[0]


def test_the_first_model_serves_at_once(story):
    _, chapters = story
    assert chapters["first"]["registry"].tolist() == ["champion"]
    assert chapters["first"]["registry"].index[0].startswith(FIRST)
    assert chapters["first"]["served"].tolist() == [1]


def test_the_same_data_register_nothing_twice(story):
    _, chapters = story
    for what in ("registry", "served", "events"):
        assert chapters["again"][what].equals(chapters["first"][what])


def test_a_refit_that_passes_serves_a_tenth_until_the_next_refresh(story):
    _, chapters = story
    first, second = versions(chapters)
    assert chapters["refit"]["registry"].to_dict() == {
        first: "champion",
        second: "canary",
    }
    assert chapters["refit"]["served"][second] == pytest.approx(0.1, abs=0.02)
    assert chapters["daily"]["registry"].to_dict() == {
        first: "retired",
        second: "champion",
    }
    assert chapters["daily"]["served"].to_dict() == {second: 1}


def test_a_daily_run_fits_nothing(story):
    _, chapters = story
    assert not any(fit in chapters["daily"]["printed"] for fit in FITS)
    pd.testing.assert_frame_equal(
        chapters["daily"]["parameters"], chapters["refit"]["parameters"]
    )
    scores = chapters["daily"]["scores"]
    assert (
        set(scores["as_of_date"]) == set(scores["scored_on"]) == {pd.Timestamp(DAILY)}
    )


def test_equity_has_a_row_for_every_day_that_was_scored_and_keeps_it(story):
    _, chapters = story
    first, second = versions(chapters)
    told = {name: chapter["equity"] for name, chapter in chapters.items()}
    assert len(chapters["daily"]["recorded"]) == 4 * 4
    # the day scored twice has one row, and later days leave it
    pd.testing.assert_frame_equal(told["first"], told["again"], rtol=1e-9)
    kept = told["daily"].groupby("as_of_date", sort=False)
    assert list(kept.groups) == [pd.Timestamp(d) for d in (FIRST, SECOND, DAILY)]
    assert (kept.size() == 4).all()
    for name, day in (("again", FIRST), ("refit", SECOND)):
        then = told[name].query("is_latest").assign(is_latest=False)
        pd.testing.assert_frame_equal(
            kept.get_group(pd.Timestamp(day)).reset_index(drop=True),
            then.reset_index(drop=True),
        )
    today = told["daily"].query("is_latest").set_index("horizon_days")
    assert set(today["run_kind"]) == {"daily"}
    assert set(today["model_version"]) == {second}
    assert set(told["refit"].query("is_latest")["model_version"]) == {first}
    # it adds up what is served, with what the last full run learned of ranges
    scores = chapters["daily"]["scores"].query("frequency >= 0")
    assert set(today["customers"]) == {len(scores)}
    for horizon in (30, 90, 180, 365):
        assert today["clv"][horizon] == pytest.approx(scores[f"clv_{horizon}d"].sum())
    assert set(today["learned_on"]) == {pd.Timestamp(SECOND)}
    assert (today["lower_95"] < today["lower_95_raw"]).all()


def test_a_rollback_serves_the_version_before_with_its_last_scores(story):
    _, chapters = story
    first, second = versions(chapters)
    assert chapters["rollback"]["registry"].to_dict() == {
        first: "champion",
        second: "withdrawn",
    }
    assert "nothing to roll back to" in chapters["rollback"]["again"]
    served = (
        chapters["rollback"]["scores"].query("frequency >= 0").set_index("customer_id")
    )
    # on probation, a version has the one before it scored beside it
    assert set(served["model_version"]) == {first}
    assert set(served["scored_on"]) == {pd.Timestamp(DAILY)}
    by_second = chapters["daily"]["scores"].set_index("customer_id")["clv_365d"]
    ratio = served["clv_365d"] / by_second[served.index]
    assert ratio.between(0.5, 2).all()
    assert (ratio != 1).mean() > 0.99
    # the audit row
    events = chapters["rollback"]["events"].sort_values("event_number")
    last = events.iloc[-2:]
    assert last["decided_by"].tolist() == ["operator", "operator"]
    assert last["status"].tolist() == ["champion", "withdrawn"]
    assert 'it s "worse"' in last["reason"].iloc[0]


def test_an_operator_may_promote_any_registered_version(story):
    build, chapters = story
    first, second = versions(chapters)
    assert chapters["promotion"]["served"].to_dict() == {second: 1}
    assert chapters["promotion"]["registry"].to_dict() == {
        first: "retired",
        second: "champion",
    }
    assert f"{second} is the champion already" in chapters["promotion"]["printed"]
    printed = build.operate(
        "promote_model", "{version: 1997-01-01-nothing, reason: why not}", may_fail=True
    )
    assert build.exit_code != 0
    assert "there is no model version '1997-01-01-nothing'" in printed


def test_the_day_of_a_rollback_has_equity_and_cohorts_of_who_serves_then(story):
    _, chapters = story
    first, second = versions(chapters)
    for name, version in (("rollback", first), ("promotion", second)):
        today = chapters[name]["equity"].query("is_latest")
        scores = chapters[name]["scores"].query("frequency >= 0")
        assert set(today["model_version"]) == {version}
        for row in today.itertuples():
            assert row.clv == pytest.approx(scores[f"clv_{row.horizon_days}d"].sum())


def test_nobody_serves_without_scores_of_today(story):
    _, chapters = story
    first, second = versions(chapters)
    printed = chapters["after probation"]["printed"]
    assert f"{first} has no scores as of {LATER}" in printed
    assert "Pin it with pin_model" in printed
    assert chapters["after probation"]["registry"][second] == "champion"


def test_a_pinned_version_serves_from_the_next_run_on(story):
    _, chapters = story
    first, second = versions(chapters)
    assert chapters["pinned"]["registry"].to_dict() == {
        first: "champion",
        second: "retired",
    }
    scores = chapters["pinned"]["scores"].query("frequency >= 0")
    assert set(scores["model_version"]) == {first}
    assert set(scores["scored_on"]) == {pd.Timestamp(LATER)}


def test_another_definition_of_value_serves_at_once(story):
    """Whatever is pinned, and a run that judges nothing cannot ask for it."""
    build, chapters = story
    printed = build.build(
        *("--selector", "weekly_backtest"),
        may_fail=True,
        clv_as_of_date=LAST,
        **CUTOFFS,
        clv_value="revenue",
    )
    assert build.exit_code != 0
    assert "no model version with the definition of this run serves" in printed
    build.full(LAST, clv_value="revenue")
    newest = build.registry().index.difference(chapters["promotion"]["registry"].index)
    assert build.registry()[newest[0]] == "champion"
    assert build.served().to_dict() == {newest[0]: 1}
    assert list(build.registry()).count("champion") == 1
    first, _ = versions(chapters)
    printed = build.operate(
        "promote_model", f"{{version: {first}, reason: back}}", may_fail=True
    )
    assert build.exit_code != 0
    assert "defines value differently from the champion" in printed


def test_a_daily_run_needs_a_full_one_that_is_not_too_old(story, tmp_path):
    build, _ = story
    printed = build.daily("1998-09-30", may_fail=True)
    assert build.exit_code != 0
    assert "the last full run, as of 1998-05-26, is too old" in printed
    printed = build.daily("1998-06-10", may_fail=True)
    assert build.exit_code != 0
    assert "lines were read last as of 1998-05-26" in printed
    assert "reads those from 1998-06-01 on" in printed
    printed = build.daily("1998-05-01", may_fail=True)
    assert "cannot follow the full run as of 1998-05-26" in printed
    with duckdb.connect(str(build.database)) as connection:
        connection.execute(
            f"delete from clv_state.accepted_loads where as_of_date = '{LAST}'"
        )
    printed = build.daily(LAST, may_fail=True)
    assert f"clv_state knows no load as of {LAST}" in printed
    assert "it was restored from an older copy" in printed
    fresh = Registry(tmp_path)
    demo = pd.DataFrame({"user_id": ["1"], "ts": ["1998-01-01"], "amount": [1.0]})
    printed = fresh.load(transactions=demo).daily("1998-01-02", may_fail=True)
    assert "a daily run adds to a full one of all models, and there is none" in printed
