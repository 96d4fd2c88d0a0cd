"""The expectation of a new customer, and the published tracking of CDNOW."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, load
from scipy.special import hyp2f1

PUBLISHED = {"r": 0.2425945, "alpha": 7 * 4.4136019, "a": 0.7929199, "b": 2.4258881}
EVERY_MODEL = [("bgnbd", 1), ("mbgnbd", 1), ("paretonbd", 1)]
EVERY_MODEL += [("bgcnbd", 2), ("mbgcnbd", 3)]


def curve(tracking, times, params, purchase_model="bgnbd", k=1):
    return tracking.curve(times, params | {"purchase_model": purchase_model, "k": k})


@pytest.fixture(scope="module")
def tracking():
    return load("int_tracking_curve")


@pytest.mark.parametrize(
    "fit",
    [PUBLISHED, {"r": 1.4, "alpha": 9.0, "a": 0.3, "b": 7.0}],
)
def test_the_curve_is_the_closed_form(tracking, fit):
    t = np.array([1.0, 7, 30, 365, 3650])
    r, alpha, a, b = fit.values()
    # Fader, Hardie & Lee (2005), equation 9
    closed = 1 - (alpha / (alpha + t)) ** r * hyp2f1(r, b, a + b - 1, t / (alpha + t))
    closed *= (a + b - 1) / (a - 1)
    assert curve(tracking, t, fit) == pytest.approx(closed, rel=1e-9)


def test_without_dropout_it_is_a_straight_line_and_at_a_1_it_is_smooth(tracking):
    t = np.array([0.0, 100.0])
    loyal = {"r": 2.0, "alpha": 50.0, "a": 1e-3, "b": 1e6}
    assert curve(tracking, t, loyal) == pytest.approx([0, 4], rel=1e-6)
    below, at, above = (
        curve(tracking, t, PUBLISHED | {"a": a})[1] for a in (0.999, 1, 1.001)
    )
    assert at == pytest.approx((below + above) / 2, rel=1e-6)


def test_the_published_sample_is_tracked_as_published(tracking):
    log = pd.read_csv(
        ROOT / "seeds" / "demo" / "transactions.csv.gz",
        dtype={"user_id": str},
        parse_dates=["ts"],
    )
    ids = pd.read_csv(ROOT / "tests/fixtures/cdnow_sample_ids.csv", dtype=str)
    days = log.merge(ids)[["sample_id", "ts"]].drop_duplicates()
    first = days.groupby("sample_id")["ts"].transform("min")
    start = pd.Timestamp("1997-01-01")
    repeat = ((days["ts"] - start).dt.days)[days["ts"] > first].to_numpy()
    born = ((days["ts"] - start).dt.days)[days["ts"] == first].to_numpy()
    expected = curve(tracking, np.arange(546), PUBLISHED)
    ends = np.arange(6, 546, 7)
    expected = np.array([expected[end - born[born <= end]].sum() for end in ends])
    actual = np.array([(repeat <= end).sum() for end in ends])
    error = expected / np.maximum(actual, 1) - 1
    # Regression values: after twelve weeks of trial, and the 39 weeks after the fit.
    assert np.abs(error[12:39]).mean() == pytest.approx(0.035, abs=1e-3)
    assert np.abs(error[39:]).mean() == pytest.approx(0.026, abs=1e-3)
    assert error[-1] == pytest.approx(-0.041, abs=1e-3)


@pytest.mark.parametrize(("purchase_model", "k"), EVERY_MODEL)
def test_as_many_customers_reach_a_number_of_purchases_as_in_a_simulation(
    tracking, simulate, purchase_model, k
):
    params = (0.5, 40.0, 0.8, 100.0 if purchase_model == "paretonbd" else 2.5)
    x, _, age = simulate(params, 200_000, purchase_model=purchase_model, k=k)
    names = "r alpha s beta" if purchase_model == "paretonbd" else "r alpha a b"
    fit = dict(zip(names.split(), params, strict=True))
    fit |= {"purchase_model": purchase_model, "k": k}
    reached = tracking.reached(np.arange(731), fit)
    expected = reached[np.floor(age).astype(int)].mean(axis=0)
    simulated = (x[:, None] >= np.arange(1, 8)).mean(axis=0)
    # four standard errors of the simulation
    assert np.abs(expected - simulated).max() < 4 * np.sqrt(0.25 / len(x))


@pytest.mark.parametrize(("purchase_model", "k"), EVERY_MODEL)
def test_those_who_reach_each_number_add_up_to_the_curve(tracking, purchase_model, k):
    # bought so seldom that eight purchases are out of reach
    fit = {"r": 0.9, "alpha": 900.0, "a": 0.8, "b": 2.5, "s": 0.6, "beta": 30.0}
    day = np.arange(101)
    reached = tracking.reached(day, fit | {"purchase_model": purchase_model, "k": k})
    expected = curve(tracking, day, fit, purchase_model, k)
    assert reached.sum(axis=1) == pytest.approx(expected, rel=1e-5, abs=1e-9)
