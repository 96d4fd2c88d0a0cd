"""The cohort forecast: published numbers, other implementations, what must add up."""

import datetime as dt
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import load

CUTOFF, EARLIER = dt.date(2024, 12, 29), dt.date(2024, 3, 31)
HORIZONS = [30, 90, 180, 365]
BGNBD = {"purchase_model": "bgnbd", "r": 0.8, "alpha": 60.0, "a": 0.6, "b": 3.0}
BGNBD["k"] = 1
FITS = {
    "bgnbd": BGNBD,
    "mbgnbd": BGNBD | {"purchase_model": "mbgnbd"},
    "mbgcnbd": BGNBD | {"purchase_model": "mbgcnbd", "k": 3},
    "paretonbd": BGNBD | {"purchase_model": "paretonbd", "s": 0.6, "beta": 80.0},
}


@pytest.fixture(scope="module")
def forecast():
    return load("int_cohort_forecast")


def month(number):
    return dt.date(2024, number, 1)


def tables(weekly, regions=(), fit=BGNBD):
    """What SQL hands over: cohorts by (month, country), their weeks from the oldest."""
    cohorts = [
        {"cohort_month": month(number), "country": country}
        for number, country in weekly
    ]
    histories = [
        cohort
        | {
            "cutoff_date": cutoff,
            "model_version": "v",
            "stratum": "all",
            "frequency": frequency,
            "age_days": 40 + 10 * frequency,
            "stage_quarters": 0,
            "value_per_purchase": 10.0 * (place + 1),
        }
        | {f"expected_value_{days}d": days**0.5 * (place + 1) for days in HORIZONS}
        for cutoff in (EARLIER, CUTOFF)
        for place, cohort in enumerate(cohorts)
        for frequency in (0, 3)
    ]
    weeks = [
        cohort
        | {
            "cutoff_date": CUTOFF,
            "weeks_ago": weeks_ago,
            "is_closed": True,
            "value_amount": value,
        }
        for cohort, values in zip(cohorts, weekly.values(), strict=True)
        for weeks_ago, value in enumerate(reversed(values))
    ]
    # the spike of the first month is no part of a series
    weeks += [
        cohort
        | {
            "cutoff_date": CUTOFF,
            "weeks_ago": len(values),
            "is_closed": False,
            "value_amount": 1e6,
        }
        for cohort, values in zip(cohorts, weekly.values(), strict=True)
    ]
    sets = [
        {"s": np.nan, "beta": np.nan}
        | fit
        | {"model_version": "v", "stratum": "all", "cutoff_date": cutoff}
        for cutoff in (EARLIER, CUTOFF)
    ]
    return {
        "cutoffs": pd.DataFrame(
            {"cutoff_date": [EARLIER, CUTOFF], "is_production": [False, True]}
        ),
        "histories": pd.DataFrame(histories),
        "weekly": pd.DataFrame(weeks),
        "parameters": pd.DataFrame(sets),
        "season": pd.DataFrame(
            columns=["model_version", "cutoff_date", "days_ago", "time_ago"]
        ),
        "regions": pd.DataFrame(regions, columns=["country", "region"]),
    }


def decay(weeks, level=1000.0, seed=1):
    """Weeks of a cohort that falls, and wobbles."""
    rng = np.random.default_rng(seed)
    fall = level * (1 + np.arange(weeks) / 10) ** -0.5
    return list(fall * rng.gamma(50, 1 / 50, weeks))


# -- The purchase model


@pytest.mark.parametrize("name", list(FITS))
def test_the_expectation_is_that_of_the_expectation_table(forecast, expectations, name):
    ages, times = np.array([0.0, 20, 400]), np.array([7.0, 90, 365])
    fit = FITS[name]
    leaving = ("s", "beta") if name == "paretonbd" else ("a", "b")
    params = tuple(fit[key] for key in ("r", "alpha", *leaving))
    for x in (0, 2, 40):
        told = [
            expectations.expectation_table(
                x, ages, times, name, params, None, 0.1, stage=stage, k=fit["k"]
            )[..., 0]
            for stage in range(fit["k"])
        ]
        for stage, alone in enumerate(told):
            got = forecast.expected_purchases(x, ages, times, fit, stage)
            assert got == pytest.approx(alone, rel=1e-12)
        if fit["k"] > 1:
            got = forecast.expected_purchases(x, ages, times, fit, 1.25)
            assert got == pytest.approx(0.75 * told[1] + 0.25 * told[2], rel=1e-12)


def test_the_expectation_is_the_published_one(forecast):
    fit = {"purchase_model": "bgnbd", "r": 0.243, "alpha": 4.414, "a": 0.793, "k": 1}
    # Fader, Hardie & Lee (2005), more digits from BTYD 2.4.3, and its P(alive)
    got = forecast.expected_purchases(2, [38.86], [39.0], fit | {"b": 2.426})
    assert 0.72657857 * got[0, 0] == pytest.approx(1.22602817, rel=1e-7)


def test_customers_of_all_histories_add_up_in_calendar_days(forecast):
    given = tables({(1, "DE"): decay(40), (1, "FR"): decay(40)})
    days = {EARLIER: [30], CUTOFF: [7, 90]}
    plain = forecast.modelled(
        given["histories"], given["parameters"], given["season"], days
    )
    each = [
        forecast.expected_purchases(x, [age], [7, 90], BGNBD)[0]
        for x, age in ((0, 40), (3, 70))
    ]
    assert plain[CUTOFF, month(1), "DE"] == pytest.approx(10 * sum(each))
    assert plain[CUTOFF, month(1), "FR"] == pytest.approx(20 * sum(each))
    # days before the cutoff count half, those after it twice
    season = pd.DataFrame(
        {
            "model_version": "v",
            "cutoff_date": CUTOFF,
            "days_ago": [-90, 0, 100],
            "time_ago": [-180.0, 0.0, 50.0],
        }
    )
    warped = forecast.modelled(given["histories"], given["parameters"], season, days)
    each = [
        forecast.expected_purchases(x, [age], [14, 180], BGNBD)[0]
        for x, age in ((0, 20), (3, 35))
    ]
    assert warped[CUTOFF, month(1), "DE"] == pytest.approx(10 * sum(each))
    assert warped[EARLIER, month(1), "DE"] == plain[EARLIER, month(1), "DE"]


# -- The series


def test_the_damped_trend_follows_a_fall_and_stays_above_zero(forecast):
    series = np.array(decay(60))
    ahead, residuals = forecast.holt_winters(series, 13)
    assert residuals.shape == (60,)
    assert ahead == pytest.approx(series[-13:].mean(), rel=0.15)
    steep = 1000 * 0.7 ** np.arange(20.0)
    assert (forecast.holt_winters(steep, 52)[0] >= 0).all()
    # the same parameters in any currency
    assert forecast.holt_winters(series * 1e6, 13)[0] == pytest.approx(ahead * 1e6)


def test_no_trend_is_sought_in_few_weeks_or_in_mostly_empty_ones(forecast):
    assert forecast.holt_winters(np.array(decay(12)), 4) is None
    assert forecast.holt_winters(np.array([0.0, 0, 1] * 10), 4) is None
    assert forecast.holt_winters(np.zeros(30), 4) is None


def test_the_curve_of_the_model_is_stretched_to_what_serves_at_the_horizons(forecast):
    given = tables({(1, "DE"): decay(40)})
    frame = forecast.forecasts(given, HORIZONS)
    curve = frame[frame["cutoff_date"] == CUTOFF].set_index("day")["purchase_model"]
    served = [2 * days**0.5 for days in HORIZONS]
    assert curve[HORIZONS].tolist() == pytest.approx(served)
    assert (np.diff(curve) > 0).all()
    model = forecast.modelled(
        *(given[name] for name in ("histories", "parameters", "season")),
        {EARLIER: HORIZONS, CUTOFF: [30, 63, 90]},
    )[CUTOFF, month(1), "DE"]
    share = (model[1] - model[0]) / (model[2] - model[0])
    assert curve[63] == pytest.approx(curve[30] + share * (curve[90] - curve[30]))


def test_each_method_forecasts_what_it_says(forecast):
    given = tables({(1, "DE"): decay(40), (11, "DE"): [70.0, 30.0], (12, "DE"): []})
    frame = forecast.forecasts(given, HORIZONS)
    old, young, new = (
        frame[(frame["cutoff_date"] == CUTOFF) & (frame["cohort_month"] == month(m))]
        .set_index("day")
        .drop(columns=["cutoff_date", "cohort_month", "country", "region"])
        for m in (1, 11, 12)
    )
    assert list(old.index) == sorted({*range(7, 365, 7), *HORIZONS})
    mean = np.mean(decay(40)[-13:])
    assert old.loc[90, "recent_mean"] == pytest.approx(mean * 90 / 7)
    assert old.loc[90, "combined"] == pytest.approx(
        (old.loc[90, "recent_mean"] + old.loc[90, "purchase_model"]) / 2
    )
    trend = forecast.holt_winters(np.array(decay(40)), 53)[0]
    assert old.loc[90, "holt_winters"] == pytest.approx(
        trend[:12].sum() + trend[12] * 6 / 7
    )
    # two weeks make a mean, and no trend or second voice; none makes nothing
    assert young.loc[7, ["holt_winters", "recent_mean"]].tolist() == [50, 50]
    assert (young["combined"] == young["purchase_model"]).all()
    for method in forecast.METHODS:
        assert (new[method] == new["purchase_model"]).all()
    assert [each["closed_weeks"].iloc[0] for each in (old, young, new)] == [40, 2, 0]
    earlier = frame.loc[frame["cutoff_date"] == EARLIER, "day"]
    assert sorted(earlier.unique()) == list(old.index)


# -- Reconciliation


def test_reconciliation_says_what_it_needs(forecast, monkeypatch):
    monkeypatch.setitem(sys.modules, "hierarchicalforecast.methods", None)
    weekly = {(number, "DE"): decay(40 + number) for number in (1, 2)}
    with pytest.raises(ImportError, match="clv_forecast_reconciliation mint needs"):
        forecast.forecasts(tables(weekly), HORIZONS, reconciliation="mint")


def test_reconciled_cohorts_still_add_up_and_young_ones_stay(forecast):
    pytest.importorskip("hierarchicalforecast", reason="pip install '.[forecast]'")
    weekly = {
        (number, country): decay(40 + number, 1000.0 + 100 * seed, seed)
        for seed, (number, country) in enumerate(
            [(1, "DE"), (2, "DE"), (1, "FR"), (2, "FR")]
        )
    }
    weekly[11, "FR"] = decay(14)
    given = tables(weekly, regions=[("DE", "centre")])
    up, mint = (
        forecast.forecasts(given, HORIZONS, reconciliation=how)
        for how in ("bottom_up", "mint")
    )
    changed = ~np.isclose(up["holt_winters"], mint["holt_winters"])
    now = up["cutoff_date"] == CUTOFF
    young = up["cohort_month"] == month(11)
    assert changed[now & ~young].all()
    assert not changed[young | ~now].any()
    same = ["purchase_model", "recent_mean", "combined"]
    pd.testing.assert_frame_equal(up[same], mint[same])
    assert mint.groupby("country")["region"].first().to_dict() == {
        "DE": "centre",
        "FR": "unknown",
    }


# -- As a dbt model


def test_the_model_reads_what_sql_gives_and_has_types_without_a_row(
    forecast, fake_dbt, stored
):
    names = {
        "cutoffs": "int_cutoffs",
        "histories": "int_cohorts__compressed",
        "weekly": "int_cohorts__weekly",
        "parameters": "int_parameters",
        "season": "int_season",
        "regions": "country_regions",
    }
    given = tables({(1, "DE"): decay(20)})
    given["season"] = given["season"].astype({"days_ago": "int64", "time_ago": float})
    given["regions"] = given["regions"].astype("string")
    types = []
    for rows in (slice(None), slice(0)):
        frames = {name: given[key].copy() for key, name in names.items()}
        frames["int_cohorts__compressed"] = frames["int_cohorts__compressed"][rows]
        frame = forecast.model(fake_dbt(frames, horizons=HORIZONS), None)
        types.append(stored(frame))
    assert len(frame) == 0
    assert types[0] == types[1]
    assert types[0]["cutoff_date"] == "DATE"
