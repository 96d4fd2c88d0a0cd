"""Gamma-Gamma fits: published numbers, lifetimes, compression, the guard on q."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import gammaln

CUTOFF = pd.Timestamp("2024-06-30")
CDNOW = (6.25, 3.74, 15.44)
NAMES = ["p", "q", "gamma"]


def spenders(params, customers, seed=1):
    """Purchase days and mean values of simulated customers."""
    n, rate, _ = values(params, customers, seed)
    return n, np.random.default_rng(seed).gamma(params[0] * n, 1 / rate) / n


def values(params, customers, seed=1):
    """Purchase days of simulated customers, their rates, and every value."""
    p, q, gamma = params
    rng = np.random.default_rng(seed)
    n = 1 + rng.negative_binomial(0.4, 0.2, customers)
    rate = rng.gamma(q, 1 / gamma, customers)
    return n, rate, rng.gamma(p, 1 / np.repeat(rate, n))


def shared(n, every):
    """Mean value of customers, and the sum of the logs of the shares of their days."""
    who = np.repeat(np.arange(len(n)), n)
    total = np.bincount(who, every)
    return total / n, np.bincount(who, np.log(every / total[who]))


def binned(n, mean, stratum="all", width=0.05, ln_shares=np.nan):
    """The input table: bins of purchase days and of the log of the mean value."""
    step = np.log1p(width)
    frame = pd.DataFrame({"purchase_days": n, "mean": mean, "ln": np.log(mean)})
    frame["ln_shares"] = ln_shares
    frame["value_bin"] = np.floor(frame["ln"] / step).astype(int)
    bins = frame.groupby(["purchase_days", "value_bin"])
    table = bins.agg(
        customers=("mean", "size"),
        mean_ln_value=("ln", "mean"),
        mean_value=("mean", "mean"),
        variance_value=("mean", lambda v: v.var(ddof=0)),
        sharing_customers=("ln_shares", "count"),
        ln_shares=("ln_shares", "sum"),
    )
    return table.reset_index().assign(stratum=stratum, cutoff_date=CUTOFF)


@pytest.fixture(scope="module")
def repeat_buyers(cdnow):
    return cdnow[cdnow["x"] > 0]


@pytest.fixture(scope="module")
def fitted(gamma_gamma, repeat_buyers):
    return gamma_gamma.fit_gamma_gamma(repeat_buyers["x"], repeat_buyers["zbar"])


def test_cdnow_estimates_are_the_published_ones(fitted):
    # Fader & Hardie, note 025; more digits from lifetimes 0.11.3
    params = fitted["params"]
    assert np.round(params, 2) == pytest.approx([6.25, 3.74, 15.45], abs=0.011)
    exact = [6.24880249, 3.74458845, 15.44774801]
    assert params == pytest.approx(exact, rel=1e-8)
    assert fitted["log_likelihood"] == pytest.approx(-4055.923243503, abs=1e-7)
    se = params * np.sqrt(np.diag(fitted["cov_ln"]))
    assert se == pytest.approx([1.18968704, 0.29016562, 4.15999389], rel=1e-7)
    p, q, gamma = params
    assert p * gamma / (q - 1) == pytest.approx(35.17100215, rel=1e-8)


def test_value_of_single_customers():
    """BTYD 2.4.3 and note 025; the conditional mean itself is SQL."""
    p, q, gamma = CDNOW
    for (mean, n), expected in {
        (30, 3): 30.66542578,
        (0, 0): 35.21897810,
        (22.35, 2): 24.66371391,
        (11.77, 1): 18.91685206,
        (73.74, 7): 71.46967090,
        (100, 1): 80.25583982,
    }.items():
        value = p * (gamma + n * mean) / (p * n + q - 1)
        assert value == pytest.approx(expected, abs=1e-8)


def test_log_likelihood_of_a_single_customer(gamma_gamma):
    row = (np.array([v]) for v in (2.0, 22.35, 0.0, np.log(22.35), 1.0))
    value = gamma_gamma.log_likelihood(np.log(CDNOW), *row)[0]
    assert value == pytest.approx(-3.5513167597, abs=1e-9)


def test_derivatives_are_those_of_the_likelihood(gamma_gamma, repeat_buyers):
    n, mean = (repeat_buyers[c].to_numpy("float64") for c in ("x", "zbar"))
    data = (n, mean, 1e-3 * mean**2, np.log(mean), np.ones(len(n)))
    data += (np.full(len(n), 0.8), -1.1 * n * np.log(n))
    point = np.log([5, 3, 12])

    def at(where, **options):
        return gamma_gamma.log_likelihood(where, *data, **options)

    _, gradient, hessian = at(point, with_hessian=True)
    pairs = [(at(point + step), at(point - step)) for step in 1e-5 * np.eye(3)]
    assert gradient == pytest.approx([(u[0] - d[0]) / 2e-5 for u, d in pairs], rel=1e-6)
    bends = np.array([(u[1] - d[1]) / 2e-5 for u, d in pairs])
    assert hessian == pytest.approx(bends, rel=1e-6)


@pytest.mark.parametrize("unit", [1e-3, 1e6])
def test_the_unit_of_money_moves_gamma_only(gamma_gamma, repeat_buyers, fitted, unit):
    fit = gamma_gamma.fit_gamma_gamma(repeat_buyers["x"], repeat_buyers["zbar"] * unit)
    assert fit["params"] == pytest.approx(fitted["params"] * [1, 1, unit], rel=1e-8)
    change = len(repeat_buyers) * np.log(unit)
    assert fit["log_likelihood"] + change == pytest.approx(fitted["log_likelihood"])


def test_bins_lose_nothing_because_they_carry_their_variance(gamma_gamma):
    n, mean = spenders(CDNOW, 100_000)
    single = gamma_gamma.fit_gamma_gamma(n, mean)["params"]
    table = binned(n, mean)
    assert len(table) < 2000
    bins = [table[c] for c in ("purchase_days", "mean_value", "variance_value")]
    bins += [table["mean_ln_value"], table["customers"]]
    fit = gamma_gamma.fit_gamma_gamma(*bins)["params"]
    assert fit == pytest.approx(single, rel=2e-5)
    bins[2] = 0.0
    blind = gamma_gamma.fit_gamma_gamma(*bins)["params"]
    assert np.abs(blind / single - 1).max() > 0.03
    # what lifetimes sees: two points a bin
    points = gamma_gamma.two_points(
        *(
            table[c]
            for c in ("purchase_days", "mean_value", "variance_value", "customers")
        )
    )
    two = gamma_gamma.fit_gamma_gamma(*points[:2], weight=points[2])["params"]
    assert two == pytest.approx(single, rel=2e-5)


@pytest.mark.parametrize("truth", [CDNOW, (0.57, 3.75, 180)])
def test_recovers_the_truth_of_simulated_customers(gamma_gamma, truth):
    row = gamma_gamma.fit_all(binned(*spenders(truth, 60_000))).iloc[0]
    params = row[NAMES].astype(float)
    se = row[[f"se_{name}" for name in NAMES]].to_numpy(float)
    assert np.abs((params - truth) / se).max() < 4
    p, q, gamma = truth
    assert row["population_mean_value"] == pytest.approx(p * gamma / (q - 1), rel=0.03)
    assert not row["is_flagged"]
    assert row["lifetimes_customers"] == 60_000
    assert row["lifetimes_parameter_difference"] < 1e-5


def raw_log_likelihood(log_params, n, every):
    """Of every single value, customer by customer."""
    p, q, gamma = np.exp(log_params)
    who = np.repeat(np.arange(len(n)), n)
    total, ln_values = (np.bincount(who, v) for v in (every, np.log(every)))
    return np.sum(
        (p - 1) * ln_values
        - n * gammaln(p)
        + gammaln(p * n + q)
        - gammaln(q)
        + q * np.log(gamma)
        - (p * n + q) * np.log(gamma + total)
    )


def test_means_and_shares_are_the_likelihood_of_every_value(gamma_gamma):
    n, _, every = values((3, 2.5, 20), 4000)
    mean, ln_shares = shared(n, every)
    data = (n, mean, 0 * mean, np.log(mean), np.ones(len(n)), np.ones(len(n)))
    # density of the values, for that of mean and shares
    volume = np.sum(np.log(n) + (n - 1) * np.log(n * mean))
    for point in np.log([(3, 2.5, 20), (0.7, 4, 9)]):
        value = gamma_gamma.log_likelihood(point, *data, ln_shares)[0] - volume
        assert value == pytest.approx(raw_log_likelihood(point, n, every), rel=1e-12)
    direct = minimize(
        lambda point: -raw_log_likelihood(point, n, every) / len(n),
        np.log([1, 3, 10]),
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 4000},
    )
    fit = gamma_gamma.fit_gamma_gamma(n, mean, sharers=1, ln_shares=ln_shares)
    assert fit["params"] == pytest.approx(np.exp(direct.x), rel=1e-5)
    rows = binned(n, mean, ln_shares=ln_shares)
    row = gamma_gamma.fit_all(rows).iloc[0]
    assert row[NAMES].to_numpy(float) == pytest.approx(fit["params"], rel=1e-4)


@pytest.mark.parametrize("truth", [(3, 2.5, 20), (0.8, 4, 60)])
def test_shares_tell_p(gamma_gamma, truth):
    n, _, every = values(truth, 20_000)
    mean, ln_shares = shared(n, every)
    blind, seeing = (
        gamma_gamma.fit_all(binned(n, mean, ln_shares=each)).iloc[0]
        for each in (np.nan, ln_shares)
    )
    errors = seeing[[f"se_{name}" for name in NAMES]].to_numpy(float)
    assert np.abs((seeing[NAMES] - truth).to_numpy(float) / errors).max() < 4
    assert seeing["se_p"] < 0.5 * blind["se_p"]


def test_a_mean_that_few_customers_make_is_flagged(gamma_gamma):
    row = gamma_gamma.fit_all(binned(*spenders((2, 1.05, 20), 20_000))).iloc[0]
    assert row["converged"]
    assert row["is_flagged"]
    assert (
        row["message"] == f"all: few customers dominate the mean (q = {row['q']:.3g})"
    )


def test_an_infinite_population_mean_is_not_accepted(gamma_gamma):
    row = gamma_gamma.fit_all(binned(*spenders((2, 0.8, 20), 5000))).iloc[0]
    assert row["is_flagged"]
    assert row["method"] == "penalized"
    assert row["q"] == pytest.approx(gamma_gamma.LOWEST_Q)
    assert "q > 1" in row["message"]
    assert 0 < row["population_mean_value"] < np.inf
    assert np.isnan(row["se_q"])  # on its bound
    assert np.isfinite(row["se_p"])


@pytest.mark.parametrize(
    ("n", "mean"),
    [([1], [20.0]), ([1, 2, 1], [20.0, 20.0, 20.0]), (np.ones(500), np.full(500, 9.9))],
    ids=["one customer", "three alike", "one price"],
)
def test_poor_data_give_a_usable_flagged_row(gamma_gamma, n, mean):
    row = gamma_gamma.fit_all(binned(np.asarray(n, int), np.asarray(mean))).iloc[0]
    assert row["is_flagged"]
    assert row["converged"]  # a last resort that is fine
    assert ("values are all alike" in row["message"]) == (len(n) == 500)
    assert row["q"] > 1
    assert row["population_mean_value"] == pytest.approx(np.mean(mean), rel=0.05)


def test_values_must_be_positive(gamma_gamma):
    with pytest.raises(ValueError, match="values > 0"):
        gamma_gamma.fit_gamma_gamma([1, 2], [10, 0])


def test_strata_inherit_from_their_parent(gamma_gamma):
    rows = pd.concat(
        [
            binned(*spenders(CDNOW, 3000, seed=1), stratum="DE|online"),
            binned(*spenders(CDNOW, 200, seed=2), stratum="DE|store"),
            binned(*spenders((2, 0.8, 20), 1500, seed=3), stratum="FR|online"),
        ]
    )
    table = gamma_gamma.fit_all(rows).set_index("stratum")
    assert table["fitted_stratum"].to_dict() == {
        "DE|online": "DE|online",
        "DE|store": "DE",
        "FR|online": "all",
    }
    assert table["customers"].tolist() == [3000, 3200, 4700]
    assert table["is_flagged"].tolist() == [False, False, True]


def test_the_engine_lifetimes_takes_its_estimates(gamma_gamma):
    rows = binned(*spenders(CDNOW, 5000))
    own, other = (
        gamma_gamma.fit_all(rows, engine=e).iloc[0] for e in ("own", "lifetimes")
    )
    assert other["method"] == "lifetimes"
    for name in [*NAMES, *(f"se_{name}" for name in NAMES)]:
        assert other[name] == pytest.approx(own[name], rel=1e-4)


def test_model_gives_the_documented_table(gamma_gamma, fake_dbt, stored):
    rows = binned(*spenders(CDNOW, 2000)).sample(frac=1, random_state=0)
    frame = gamma_gamma.model(fake_dbt({"int_values__compressed": rows}), None)
    assert list(frame.columns) == list(gamma_gamma.COLUMNS)
    assert frame["cutoff_date"].tolist() == [dt.date(2024, 6, 30)]
    types = stored(frame)
    kinds = {"str": "VARCHAR", "date": "DATE", "bool": "BOOLEAN"}
    kinds |= {"float64": "DOUBLE", "int64": "BIGINT"}
    assert types == {c: kinds[t] for c, t in gamma_gamma.COLUMNS.items()}
    empty = gamma_gamma.model(fake_dbt({"int_values__compressed": rows.iloc[:0]}), None)
    assert empty.empty
    assert stored(empty) == types
