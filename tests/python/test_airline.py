"""The airline demo: a simulation that is what it says, and forecasts of a known truth.

One build, up to customer_lifetime_value and without data tests, serves all that is
judged: strata, season, corrections and ranges are made by SQL over all cutoffs, and the
programme cannot be smaller, for a tier of fewer members than these has errors as large
as its parameters. It has the fewest cutoffs with which a season is believed, and the
true purchase model; judge_airline.py plays other seeds, and with all of the demo.
"""

import re
import sys

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from judge_airline import (
    VARIABLES,
    build,
    expected_trips,
    held,
    members_of,
    parameters_of,
    ranking_of,
    season_of,
    true_season,
)
from load_input import CONTRACT
from load_input import main as load_input
from merge_vars import check, merge

sys.path.insert(0, str(ROOT / "scripts"))
import simulate_airline
from simulate_airline import AS_OF, FARES, HORIZONS, TIERS, simulate


@pytest.fixture(scope="module")
def programme():
    """That of the demo."""
    return simulate()


# -- The simulation


def test_the_programme_is_the_same_each_time():
    first, second = simulate(300), simulate(300)
    for name, lines in first.inputs.items():
        pd.testing.assert_frame_equal(lines, second.inputs[name])
    pd.testing.assert_frame_equal(first.members, second.members)
    assert not first.members.equals(simulate(300, seed=2).members)


def test_no_input_holds_what_only_the_simulation_knows(programme, tmp_path):
    inputs, truth = tmp_path / "inputs", tmp_path / "truth"
    options = ["--members", "300", "--output", str(inputs), "--truth", str(truth)]
    assert simulate_airline.main(options) == 0
    assert {path.stem for path in inputs.iterdir()} == set(programme.inputs)
    assert {path.name for path in truth.iterdir()} == {"members.csv", "parameters.json"}
    for name, lines in programme.inputs.items():
        assert set(lines.columns) <= set(CONTRACT[name])
        for times in lines.select_dtypes("datetime"):
            assert lines[times].max() <= AS_OF, (name, times)


def test_who_is_simulated_is_said_by_every_id(programme):
    for lines in programme.inputs.values():
        if "user_id" in lines:
            assert lines["user_id"].str.match(r"SIM\d{5}$").all()


def test_a_trip_is_one_day_and_its_segments_add_up_to_its_fare(programme):
    lines = programme.inputs["transactions"]
    trips = lines[lines["order_id"].str.startswith("B")].groupby("order_id")
    assert (trips["ts"].nunique() == 1).all()
    assert (trips["user_id"].nunique() == 1).all()
    assert (trips["amount"].min() > 0).all()
    # what was refunded, in full, was no trip
    cancelled = lines[lines["order_id"].str.startswith("C")].groupby("order_id")
    assert (cancelled["amount"].sum().round(2) == 0).all()
    assert 0.005 < len(cancelled) / len(trips) < 0.02


@pytest.fixture(scope="module")
def many():
    return simulate(30_000, seed=7)


def test_members_fly_leave_and_pay_as_the_parameters_say(many):
    """Means of 30,000 members, each within four of its standard errors."""
    members = many.members

    def near(sample, expected):
        error = sample.std() / np.sqrt(len(sample))
        return abs(sample.mean() - expected) < 4 * error

    for tier, (_, (r, alpha), (a, b)) in TIERS.items():
        of_tier = members[members["tier"] == tier]
        assert near(of_tier["rate"], r / alpha)
        assert near(of_tier["dropout"], a / (a + b))
    assert near(members["mean_fare"], FARES["p"] * FARES["gamma"] / (FARES["q"] - 1))
    assert abs(members["mean_fare"].corr(members["rate"], method="spearman")) < 0.2
    # of those who have flown, as each one's rate and probability of leaving say
    lines = many.inputs["transactions"]
    flown = members[members["user_id"].isin(lines["user_id"])]
    assert near(flown["trips_365d"] - expected_trips(flown), 0)
    paid = flown["fares_365d"] - flown["trips_365d"] * flown["mean_fare"]
    assert near(paid, 0)


def test_a_cancelled_membership_flies_no_more(many):
    closed = many.inputs["customer_status"]
    members = many.members.set_index("user_id").loc[closed["user_id"]]
    assert members["has_left"].all()
    assert (members["trips_365d"] == 0).all()
    last = many.inputs["transactions"].query("amount > 0 and order_id < 'C'")
    last = last.groupby("user_id")["ts"].max()
    assert (closed["effective_at"].to_numpy() > last[closed["user_id"]]).all()


# -- The demo


def test_the_demo_is_loaded_and_said_to_be_simulated(tmp_path, capsys):
    database = tmp_path / "warehouse.duckdb"
    assert load_input(["--demo", "airline", "--database", str(database)]) == 0
    said = "Reads the airline demo, a simulated frequent-flyer programme: "
    assert capsys.readouterr().out.startswith(said)
    assert load_input(["--database", str(database)]) == 0  # what a later build says
    assert capsys.readouterr().out.startswith(said)
    # by which the build knows that the variables of the demo hold
    (known,) = re.findall(
        r'"\$loaded" != "(.+?)"\*', (ROOT / "scripts" / "build.sh").read_text()
    )
    assert said.startswith(known)
    with duckdb.connect(str(database)) as connection:
        tables = "select table_name, estimated_size from duckdb_tables()"
        filled = {name for name, rows in connection.execute(tables).fetchall() if rows}
    assert filled == set(simulate(100).inputs)


def test_the_variables_of_the_demo_are_those_of_the_project_and_give_way():
    check(VARIABLES)
    assert "Simulated" in VARIABLES["clv_words"]["title"]
    merged = merge("{clv_season: none}", "", "", "", "", "airline")
    assert merged == VARIABLES | {"clv_season": "none"}
    assert merge("{}", "", "", "", "", "retail") == {}


# -- Forecasts, and what only the simulation knows


@pytest.fixture(scope="module")
def made(programme, tmp_path_factory):
    fewer = {"clv_backtest_days": [182, 365], "clv_purchase_model": "mbgnbd"}
    return build(tmp_path_factory.mktemp("airline"), programme, **fewer)


@pytest.fixture(scope="module")
def members(made, programme):
    return members_of(made, programme)


@pytest.mark.slow
def test_parameters_are_recovered_within_their_standard_errors(made, programme):
    found = parameters_of(made, programme)
    # 21 parameters: 95 % within 1.96, and one beyond 3 in twenty programmes
    assert found["errors"].abs().max() < 3, found
    assert (found["errors"].abs() < 1.96).mean() > 0.8, found


@pytest.mark.slow
def test_the_season_is_recovered(made):
    assert len(season_of(made)) == 52
    assert np.sqrt(np.mean((season_of(made) - true_season()) ** 2)) < 0.08


@pytest.mark.slow
@pytest.mark.parametrize("horizon", HORIZONS)
def test_ranges_hold_four_in_five_members(members, horizon):
    assert 0.76 <= held(members, horizon) <= 0.84


@pytest.mark.slow
def test_members_are_ranked_better_than_by_their_last_year(members):
    ranks = ranking_of(members)
    assert (ranks.loc["forecast"] > ranks.loc["last year"]).all(), ranks
    assert (ranks.loc["forecast"] < ranks.loc["truth"]).all(), ranks


@pytest.mark.slow
def test_the_total_is_near(members):
    assert members["expected_purchases_365d"].sum() == pytest.approx(
        members["trips_365d"].sum(), rel=0.1
    )
    assert members["clv_365d"].sum() == pytest.approx(
        members["discounted_365d"].sum(), rel=0.1
    )
