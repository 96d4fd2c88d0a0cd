"""Drift: silent on what chance does, one alert for a price rise, one for a new mix."""

import re
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from test_builds import Build

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
MODELS = ("int_drift__histograms", "feature_drift", "alerts")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """SQL of the models between purchases and alerts, as it runs on DuckDB."""
    build = Build(tmp_path_factory.mktemp("drift"))
    command = ("dbt", "compile", "--no-introspect", "--select", *MODELS)
    build.call(*command, knows=True)
    folder = build.folder / "target" / "compiled" / "clv" / "models"
    texts = {path.stem: path.read_text() for path in folder.rglob("*.sql")}
    # "database"."schema"."name" is a view of that name here
    return {
        name: re.sub(r'"\w+"\."\w+"\."(\w+)"', r"\1", texts[name]) for name in MODELS
    }


@pytest.fixture(scope="module")
def shop(compiled):
    """A shop of 6,000 customers; `compare(reference, current)` returns its alerts."""
    connection = duckdb.connect()
    rules = ROOT / "seeds" / "reference" / "alert_rules.csv"
    connection.execute(f"create table alert_rules as from '{rules}'")
    connection.execute(
        "create table int_as_of as select date '2024-12-31' as as_of_date"
    )
    connection.execute(
        "create table int_drift__windows as from (values "
        "('current', date '2024-12-31'), ('training', date '2024-09-30')) "
        "as windows (period, cutoff_date)"
    )
    connection.execute(
        "create table score_distribution as select '' as period, 1 as score_bin, "
        "1 as customers, date '2024-12-31' as as_of_date limit 0"
    )
    measures = """
        select
            'feature_psi' as measure, feature as subject,
            case when is_psi_beyond_chance then psi else 0 end as measured,
            compared_date as as_of_date
        from feature_drift where not is_clock
        union all
        select
            'feature_level_shift', feature,
            case when is_level_shift_beyond_chance then abs(level_shift) else 0 end,
            compared_date
        from feature_drift where level_shift is not null
    """

    def compare(reference, current):
        both = pd.concat(
            [reference.assign(period="training"), current.assign(period="current")]
        )
        both["cutoff_date"] = np.where(
            both["period"] == "current",
            pd.Timestamp("2024-12-31"),
            pd.Timestamp("2024-09-30"),
        )
        connection.register("both_periods", both)
        connection.execute(
            "create or replace temp table int_drift__observed as from both_periods"
        )
        connection.execute(
            "create or replace temp table int_histories__observed as "
            "select *, cast(cutoff_date as date) as last_purchase_date, "
            "false as is_on_plan from both_periods"
        )
        for name in MODELS[:2]:
            sql = compiled[name]
            connection.execute(f"create or replace temp table {name} as {sql}")
        connection.execute(f"create or replace temp table alert_measures as {measures}")
        return connection.sql(compiled["alerts"]).df()

    yield compare
    connection.close()


@pytest.fixture(scope="module")
def customers():
    """Values as heavy-tailed as CDNOW's, three channels, many categories."""
    rng = np.random.default_rng(8)
    size = 6000
    value = rng.lognormal(3.4, 0.8, size).round(2)
    return pd.DataFrame(
        {
            "customer_id": np.arange(size).astype(str),
            "channel": rng.choice(["web", "store", "app"], size, p=[0.6, 0.3, 0.1]),
            "country": rng.choice(["DE", "US", None], size, p=[0.5, 0.4, 0.1]),
            "category": rng.zipf(1.6, size).clip(max=60).astype(str),
            "order_value": value,
            "mean_value": value,
            "gap_days": np.where(
                rng.random(size) < 0.3, np.nan, rng.gamma(1, 40, size)
            ),
            "purchase_days": rng.geometric(0.4, size),
            "recency_days": rng.integers(0, 300, size),
            "age_days": rng.integers(300, 400, size),
        }
    ).round({"gap_days": 0})


# Few customers, for whom the limit is chance, and many, for whom it is the rule.
@pytest.mark.parametrize("size", [400, 6000])
def test_random_halves_raise_no_alert_in_99_of_100_splits(shop, customers, size):
    rng = np.random.default_rng(17)
    loud = 0
    for _ in range(100):
        half = rng.permutation(len(customers))[:size]
        shuffled = customers.iloc[half]
        loud += len(shop(shuffled[: size // 2], shuffled[size // 2 :])) > 0
    assert loud <= 1


def test_a_price_rise_raises_one_alert(shop, customers):
    dearer = customers.assign(
        order_value=customers["order_value"] * 1.2,
        mean_value=customers["mean_value"] * 1.02,
    )
    alerts = shop(customers[:3000], dearer[3000:])
    assert list(alerts["rule"]) == ["feature_level_shift_high"]
    assert alerts["measured"].iloc[0] == pytest.approx(0.2, abs=0.06)
    assert alerts["subject"].iloc[0] == "order_value"
    assert shop(customers[:3000], customers[3000:]).empty


def test_a_channel_mix_shift_raises_one_alert(shop, customers):
    # half of those who bought in the web now use the app
    moved = customers["channel"].eq("web") & (np.arange(len(customers)) % 2 == 0)
    shifted = customers.assign(channel=customers["channel"].mask(moved, "app"))
    alerts = shop(customers[:3000], shifted[3000:])
    assert list(alerts["rule"]) == ["feature_drift_high"]
    assert alerts["subject"].iloc[0] == "channel"


def test_a_feature_that_vanishes_raises_one_alert(shop, customers):
    alerts = shop(customers[:3000], customers[3000:].assign(country=None))
    assert list(alerts["rule"]) == ["feature_drift_high"]
    assert alerts["subject"].iloc[0] == "country"


def test_age_is_reported_and_never_an_alert(shop, customers):
    older = customers.assign(age_days=customers["age_days"] + 365)
    assert shop(customers[:3000], older[3000:]).empty


def test_what_old_data_cannot_cause_is_loud_though_they_are_old(compiled):
    """By the default rules, at the worst of every measure."""
    with duckdb.connect() as connection:
        rules = ROOT / "seeds" / "reference" / "alert_rules.csv"
        connection.execute(f"create table alert_rules as from '{rules}'")
        connection.execute(
            "create table alert_measures as "
            "select distinct measure, 'all' as subject, "
            "case when is_breached_below then -1e9 else 1e9 end as measured, "
            "date '2024-12-31' as as_of_date "
            "from alert_rules"
        )
        alerts = connection.sql(compiled["alerts"]).df().set_index("rule")
    quiet = alerts["muted_because"]
    assert len(alerts) == len(pd.read_csv(rules))
    assert pd.isna(quiet["data_stale"])
    for rule in (
        *("score_coverage_low", "scores_invalid"),
        *("identity_too_large", "lines_without_user_rising", "fits_flagged"),
        *("fit_stale", "redemptions_above_plan"),
    ):
        assert pd.isna(quiet[rule]), rule
    for rule in ("score_drift_high", "feature_drift_high", "purchase_bias_high"):
        assert quiet[rule] == "explained by pipeline_late"
