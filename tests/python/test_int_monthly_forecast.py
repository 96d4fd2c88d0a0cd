"""The monthly forecast: what serves, what an origin may know, what has no trend."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from conftest import load


@pytest.fixture(scope="module")
def monthly():
    return load("int_monthly_forecast")


def months(customers, value=None):
    index = pd.period_range("2020-03", periods=len(customers), freq="M")
    customers = pd.Series(customers, index=index, dtype="float64")
    value = 10 * customers if value is None else value
    return pd.DataFrame({"customers": customers, "value": value})


def last(frame):
    return frame[frame["origin_month"] == frame["origin_month"].max()]


def test_a_trend_serves_a_shop_that_grows_and_not_one_that_does_not(monthly):
    growing = last(monthly.every_origin(months(100 + 20.0 * np.arange(30))))
    assert set(growing["method"]) == {"damped_trend"}
    assert (growing["damped_trend_wape"] < growing["naive_wape"]).all()
    assert growing["new_customers"].iloc[0] == pytest.approx(700, rel=0.1)
    assert set(growing["naive_method"]) == {"seasonal_naive"}
    # the same month of the year before, of all customers
    assert list(growing["naive_value"]) == [10 * (100 + 20 * n) for n in range(18, 30)]

    noise = np.random.default_rng(1).poisson(100, 20)
    steady = last(monthly.every_origin(months([*noise, 60, 140, 100])))
    assert set(steady["method"]) == {"recent_mean"}
    assert steady["new_customers"].tolist() == [100.0] * 12


def test_errors_grow_with_the_months_ahead(monthly):
    frame = last(monthly.every_origin(months(100 + 20.0 * np.arange(30))))
    ratio = (frame["relative_error"] / np.sqrt(frame["step"])).astype(float)
    assert ratio.max() == pytest.approx(ratio.min())
    first = monthly.every_origin(months([5.0]))
    assert first["relative_error"].iloc[0] == pytest.approx(monthly.PRIOR_ERROR)
    assert set(first["windows"]) == {0}


def test_an_origin_knows_nothing_of_later_months(monthly):
    series = np.random.default_rng(2).poisson(80, 30).astype("float64")
    known = ["origin_month", "period_month", "step", "method", "new_customers"]
    known += ["relative_error", "windows", "damped_trend_wape", "naive_wape"]
    known += ["naive_method", "naive_value"]
    short = monthly.every_origin(months(series[:26]))[known]
    other = monthly.every_origin(months([*series[:26], 9e6, 0, 9e6]))[known]
    other = other[other["origin_month"] <= short["origin_month"].max()]
    pd.testing.assert_frame_equal(short, other.reset_index(drop=True))


def test_what_is_mostly_empty_or_without_value_has_no_trend(monthly):
    assert monthly.damped_trend(np.array([900, 800, *[0.0] * 16])) is None
    empty = last(monthly.every_origin(months([900, 800, *[0.0] * 16])))
    assert empty["new_customers"].tolist() == [0.0] * 12
    unpriced = last(monthly.every_origin(months([3.0] * 8, np.nan)))
    assert unpriced["naive_value"].isna().all()
    assert monthly.every_origin(months([])).empty


def test_a_month_counts_once_it_has_ended_and_one_without_purchases_is_zero(monthly):
    def row(cohort, period, customers, value, cutoff="2024-05-30"):
        return {
            "cutoff_date": dt.date.fromisoformat(cutoff),
            "cohort_month": dt.date.fromisoformat(f"{cohort}-01"),
            "period_month": dt.date.fromisoformat(f"{period}-01"),
            "active_customers": customers,
            "value_amount": value,
        }

    rows = [
        row("2024-01", "2024-01", 5, 50.0),
        row("2024-01", "2024-03", 2, 20.0),
        row("2024-03", "2024-03", 3, 30.0),
        row("2024-05", "2024-05", 8, 80.0),
        row("2024-01", "2024-01", 4, 40.0, "2024-02-29"),
    ]
    cutoffs = pd.DataFrame(
        {
            "cutoff_date": [dt.date(2024, 5, 30), dt.date(2024, 2, 29)],
            "is_production": [True, False],
        }
    )
    found = monthly.ended_months(pd.DataFrame(rows), cutoffs)
    assert found["customers"].tolist() == [5, 0, 3, 0]
    assert found["value"].tolist() == [50, 0, 50, 0]
    assert str(found.index[-1]) == "2024-04"
