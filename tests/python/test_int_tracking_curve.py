"""The expectation of a new customer, and the published tracking of CDNOW."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, load
from scipy.special import hyp2f1

PUBLISHED = {"r": 0.2425945, "alpha": 7 * 4.4136019, "a": 0.7929199, "b": 2.4258881}


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
    assert tracking.bgnbd_curve(t, fit) == pytest.approx(closed, rel=1e-9)


def test_without_dropout_it_is_a_straight_line_and_at_a_1_it_is_smooth(tracking):
    t = np.array([0.0, 100.0])
    loyal = {"r": 2.0, "alpha": 50.0, "a": 1e-3, "b": 1e6}
    assert tracking.bgnbd_curve(t, loyal) == pytest.approx([0, 4], rel=1e-6)
    below, at, above = (
        tracking.bgnbd_curve(t, PUBLISHED | {"a": a})[1] for a in (0.999, 1, 1.001)
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
    curve = tracking.bgnbd_curve(np.arange(546), PUBLISHED)
    ends = np.arange(6, 546, 7)
    expected = np.array([curve[end - born[born <= end]].sum() for end in ends])
    actual = np.array([(repeat <= end).sum() for end in ends])
    error = expected / np.maximum(actual, 1) - 1
    # Regression values: after twelve weeks of trial, and the 39 weeks after the fit.
    assert np.abs(error[12:39]).mean() == pytest.approx(0.035, abs=1e-3)
    assert np.abs(error[39:]).mean() == pytest.approx(0.026, abs=1e-3)
    assert error[-1] == pytest.approx(-0.041, abs=1e-3)
