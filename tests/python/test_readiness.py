"""Shops whose log is not enough to forecast, and what is said of those that are."""

import shutil
import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from test_builds import Build

pytestmark = pytest.mark.slow

FORECASTS = [
    "probability_alive",
    *(
        column % horizon
        for horizon in (30, 90, 180, 365)
        for column in (
            *("probability_purchase_%sd", "expected_purchases_%sd", "clv_%sd"),
            *("clv_%sd_p10", "clv_%sd_p50", "clv_%sd_p90"),
            *("clv_%sd_p10_raw", "clv_%sd_p90_raw", "interval_source_%sd"),
        )
    ),
    "model_version",
    "scored_on",
]
EMPTY = (
    *("customer_equity", "customer_equity_daily", "cohort_clv", "cohort_forecast"),
    *("customer_value_curve", "model_registry", "model_parameters", "model_tracking"),
)


def orders(customers, days, repeat_customers, seed=1):
    """A log of so many days, in which the first customers buy some times more."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, max(days // 2, 1), customers)
    first[-1], first[0] = 0, days
    more = [
        (number, day)
        for number in range(1, repeat_customers + 1)
        for day in rng.integers(first[number] + 1, days + 1, 1 + rng.poisson(2))
    ]
    rows = pd.DataFrame([*enumerate(first), *more], columns=["number", "day"])
    return pd.DataFrame(
        {
            "user_id": "c" + rows["number"].astype(str),
            "ts": pd.Timestamp("2022-01-01") + pd.to_timedelta(rows["day"], "D"),
            "amount": rng.lognormal(3, 0.6, len(rows)).round(2),
        }
    )


def contracts():
    """Monthly payments of the same amount, until the customer cancels."""
    rng = np.random.default_rng(1)
    start = pd.Timestamp("2022-01-01")
    rows = [
        (f"s{number}", start + pd.DateOffset(days=first, months=month))
        for number, first in enumerate(rng.integers(0, 300, 120))
        for month in range(1 + rng.geometric(0.08))
    ]
    log = pd.DataFrame(rows, columns=["user_id", "ts"]).assign(amount=9.99)
    return log[log["ts"] < "2023-06-01"]


def summary(database):
    command = (sys.executable, ROOT / "scripts" / "summarize.py")
    done = subprocess.run(
        [*command, "--database", database],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """One project for all of them; each loads its own log."""
    return Build(tmp_path_factory.mktemp("readiness"))


def judged(shop, log, **variables):
    """What the readiness of a log is, without the rest of the build."""
    shop.load(transactions=log)
    shop.build("--select", "+forecast_readiness", clv_accept_load=True, **variables)
    return shop.read("from clv.forecast_readiness order by horizon_days")


@pytest.mark.parametrize(
    ("log", "statuses", "reason"),
    [
        (
            orders(1, 1, 0),
            ["log_too_short"] * 4,
            "0 days of log: a forecast needs 84",
        ),
        (
            orders(500, 83, 400),
            ["log_too_short"] * 4,
            "83 days of log: a forecast needs 84",
        ),
        (
            orders(300, 400, 0),
            ["no_repeat_purchases"] * 4,
            "no customer has bought on a second day",
        ),
        (
            orders(300, 400, 29),
            ["too_few_repeat_customers"] * 4,
            "only 29 of 300 customers have bought again: a forecast needs 30",
        ),
        (
            orders(300, 100, 200),
            ["unchecked"] * 4,
            "100 days of log: 30-, 90-, 180-, 365-day values have not been checked",
        ),
        (
            orders(300, 400, 200),
            ["ready", "ready", "ready", "unchecked"],
            "400 days of log: 365-day values have not been checked",
        ),
        (orders(300, 500, 200), ["ready"] * 4, None),
    ],
)
def test_a_log_is_judged_by_days_and_repeat_customers(shop, log, statuses, reason):
    found = judged(shop, log)
    assert found["status"].tolist() == statuses
    assert set(found["reason"].dropna()) == ({reason} if reason else set())
    assert found["warning"].isna().all()


def test_contracts_are_warned_of(shop):
    (warning,) = judged(shop, contracts())["warning"].unique()
    assert warning.startswith("looks contractual (100 % of repeat customers pay")


@pytest.fixture(scope="module")
def withheld(tmp_path_factory):
    """A log of two years with five repeat customers, and all that can hang on it."""
    log = orders(300, 600, 5)
    people = [f"c{number}" for number in range(320)]
    build = Build(tmp_path_factory.mktemp("withheld"))
    build.load(
        transactions=log,
        customers=pd.DataFrame(
            {
                "user_id": people,
                "signup_ts": pd.Timestamp("2022-01-01"),
                "acquisition_source": np.resize(["ads", "web"], len(people)),
            }
        ),
        consents=pd.DataFrame(
            {
                "user_id": people,
                "channel": "email",
                "is_granted": True,
                "updated_at": pd.Timestamp("2022-01-01"),
            }
        ),
        customer_status=pd.DataFrame(
            {
                "user_id": ["c9", "c310"],
                "status": ["closed", "fraud"],
                "effective_at": pd.Timestamp("2023-08-01"),
            }
        ),
        ad_spend=pd.DataFrame(
            {
                "channel": ["ads", "web"],
                "spend_date": pd.to_datetime(["2022-02-01", "2022-09-15"]),
                "spend": [100.0, 200.0],
            }
        ),
    )
    printed = build.build(tests=True)
    assert "WARN=0 ERROR=0" in printed
    return build


def test_nothing_is_forecast_from_too_little_and_every_customer_says_why(withheld):
    customers = withheld.read("from clv.customer_lifetime_value")
    assert len(customers) == 320
    assert customers[FORECASTS].isna().all().all()
    assert set(customers["clv_source"]) == {"withheld"}
    assert set(customers["forecast_status"]) == {"too_few_repeat_customers"}
    for mart in EMPTY:
        assert withheld.read(f"from clv.{mart}").empty, mart
    summed = withheld.read("from clv.segment_summary")
    assert summed[["clv_365d", "expected_purchases_365d"]].isna().all().all()


def test_what_describes_the_past_is_built_all_the_same(withheld):
    totals = withheld.read(
        """
        select
            (select sum(revenue_amount) from clv.cohorts) as cohorts,
            (select sum(revenue_amount) from clv.customers) as customers,
            (select count(*) from clv.customer_rfm) as scored,
            (select count(*) from clv.customer_segments) as placed
        """
    ).iloc[0]
    assert totals["cohorts"] == totals["customers"] > 0
    # The one with status fraud is suppressed.
    assert (totals["scored"], totals["placed"]) == (299, 320)


def test_a_channel_of_which_the_first_year_is_not_over_has_no_value(withheld):
    channels = withheld.read("from clv.channel_economics where acquisition_spend > 0")
    ended = channels["cohort_month"].astype(str) < "2022-08"
    assert channels["predicted_clv"].notna().tolist() == ended.tolist()
    assert set(channels.loc[~ended, "status"]) == {"unknown"}
    assert channels.loc[~ended, "cac_cap"].isna().all()


def test_one_alert_says_so(withheld):
    alerts = withheld.read("from clv.alerts where muted_because is null")
    # The log is silent for seven weeks of its second winter.
    silent = alerts["rule"] == "first_load_inconsistent"
    assert silent.sum() == 1
    alerts = alerts[~silent]
    assert alerts["rule"].tolist() == ["forecasts_withheld"]
    assert alerts["severity"].tolist() == ["ticket"]
    reason = "only 5 of 300 customers have bought again: a forecast needs 30"
    assert alerts["subject"].tolist() == [reason]
    run = withheld.read("select rows_attempted, rows_failed from clv.scoring_runs")
    assert run.iloc[0].tolist() == [0, 0]


def test_nobody_is_offered_anything(withheld):
    audience = withheld.read("from clv_export.export_marketing_cloud__audience")
    assert len(audience) > 200
    assert set(audience["clv_365d"]) == {""}
    assert set(audience["offer_cap"]) == {0}


def test_the_summary_says_what_is_missing_and_expects_nothing(withheld):
    said = summary(withheld.database)
    reason = "only 5 of 300 customers have bought again: a forecast needs 30"
    assert f"no forecast      {reason}\n" in said
    assert "expected" not in said
    assert "equity" not in said
    assert len(said.splitlines()) <= 30


def test_the_first_fit_is_the_first_model_and_gives_tiers_at_once(withheld):
    withheld.load(
        transactions=orders(300, 610, 200),
        consents=pd.DataFrame(columns=["user_id", "channel", "is_granted"]),
        customer_status=pd.DataFrame(columns=["user_id", "status"]),
    )
    withheld.build(tests=True, clv_accept_load=True)
    versions = withheld.read("select status, reason from clv.model_registry")
    assert versions.iloc[0].tolist() == ["champion", "the first model"]
    customers = withheld.read("from clv.customer_lifetime_value")
    assert set(customers["forecast_status"]) == {"ready"}
    assert customers["clv_365d"].notna().all()
    # cut without a forecast a few days ago, they would have held for a quarter
    cuts = withheld.read(
        "select vip_clv, effective_date = cutoff_date as is_new "
        "from clv_intermediate.int_segments__cut_points order by cutoff_date desc"
    ).iloc[0]
    assert cuts["vip_clv"] > 0
    assert cuts["is_new"]
    said = summary(withheld.database)
    assert " of revenue, discounted\n  80 % range" in said
    assert "CLV segments     customers and share of the equity\n" in said
    assert len(said.splitlines()) <= 30


def test_scores_of_before_are_not_served_where_there_is_too_little_now(withheld):
    # runs after the one above: a champion is there, and its scores
    withheld.build(clv_accept_load=True, clv_as_of_date="2022-02-15")
    customers = withheld.read("from clv.customer_lifetime_value")
    assert set(customers["forecast_status"]) == {"log_too_short"}
    assert customers[FORECASTS].isna().all().all()
    assert withheld.read("from clv.customer_equity").empty


@pytest.mark.parametrize("days", [0, 30])
def test_a_shop_of_a_day_or_a_month_passes_every_test(tmp_path, days):
    log = orders(200, 30, 50) if days else orders(1, 1, 0)
    build = Build(tmp_path).load(transactions=log)
    assert "WARN=0 ERROR=0" in build.build(tests=True)
    found = build.read(
        "select count(*) as customers, count(clv_365d) as scored "
        "from clv.customer_lifetime_value"
    ).iloc[0]
    assert found.tolist() == [200 if days else 1, 0]


@pytest.mark.parametrize("name", ["warehouse", "clv", "my shop", "order"])
def test_what_the_summary_prints_can_be_pasted(withheld, tmp_path, name):
    database = tmp_path / f"{name}.duckdb"
    shutil.copy(withheld.database, database)
    statements = [
        line[line.index("from ") :]
        for line in summary(database).splitlines()
        if "from " in line and ".clv." in line
    ]
    assert len(statements) >= 3
    with duckdb.connect(str(database), read_only=True) as connection:
        for statement in statements:
            assert connection.sql(statement).fetchone() is not None
