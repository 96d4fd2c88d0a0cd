"""Fits of purchase models: published numbers, lifetimes, derivatives, fallbacks."""

import datetime as dt
import functools
import warnings

import numpy as np
import pandas as pd
import pytest

CUTOFF = pd.Timestamp("2024-06-30")
CDNOW_END = pd.Timestamp("1997-09-30")
HISTORY = ["frequency", "recency_days", "age_days"]
EVERY_MODEL = ["bgnbd", "mbgnbd", "paretonbd"]
SHOP = {  # an ordinary shop, in days
    "bgnbd": (0.8, 60, 0.6, 3),
    "mbgnbd": (0.8, 60, 0.6, 3),
    "paretonbd": (0.8, 60, 0.7, 90),
}


def compressed(x, t_x, age, stratum="all", cutoff=CUTOFF):
    """The input table, on the day grain."""
    frame = pd.DataFrame({"frequency": x, "recency_days": t_x, "age_days": age})
    frame = frame.astype(int).value_counts(sort=False).rename("customers")
    frame = frame.reset_index().assign(stratum=stratum, cutoff_date=cutoff, ln_gaps=0.0)
    return frame.assign(sampled_customers=frame["customers"])


def fit_all(purchases, rows, *arguments, production=CUTOFF, **options):
    """Every fit of these rows; production is one of their cutoffs."""
    cutoffs = pd.DataFrame({"cutoff_date": rows["cutoff_date"].unique()})
    cutoffs["is_production"] = pd.to_datetime(cutoffs["cutoff_date"]) == production
    return purchases.fit_all(rows, cutoffs, *arguments, **options)


def grouped(purchases, purchase_model, *histories):
    """The histories as the likelihood of that model wants them, and it."""
    likelihood = functools.partial(purchases.log_likelihood, purchase_model)
    return likelihood, purchases.group_histories(*histories)


@pytest.fixture(scope="module")
def history(cdnow):
    return (*(cdnow[c].to_numpy("float64") for c in ("x", "t_x", "T")),)


@pytest.fixture(scope="module")
def every_fit(purchases, history):
    return {name: purchases.fit_purchases(name, *history) for name in EVERY_MODEL}


@pytest.fixture(scope="module")
def fitted(every_fit):
    return every_fit["bgnbd"]


@pytest.mark.parametrize(
    ("purchase_model", "published", "log_likelihood"),
    [
        # Fader, Hardie & Lee (2005), table 2: both
        ("bgnbd", [0.243, 4.414, 0.793, 2.426], -9582.4),
        ("paretonbd", [0.553, 10.578, 0.606, 11.669], -9595.0),
        # BTYDplus 1.2.0
        ("mbgnbd", [0.525, 6.183, 0.891, 1.614], -9582.1),
    ],
)
def test_cdnow_estimates_are_the_published_ones(
    every_fit, purchase_model, published, log_likelihood
):
    fit = every_fit[purchase_model]
    assert fit["params"] == pytest.approx(published, abs=2e-3)
    assert fit["params"][:3] == pytest.approx(published[:3], abs=6e-4)
    assert round(fit["log_likelihood"], 1) == log_likelihood
    assert fit["converged"]
    assert fit["method"] == "mle"


@pytest.mark.parametrize(
    ("purchase_model", "exact", "log_likelihood"),
    [  # lifetimes 0.11.3 at tolerances of 1e-9 and, Nelder-Mead, 1e-8
        ("bgnbd", [0.24259291, 4.41353156, 0.79288615, 2.42575344], -9582.42556057),
        ("mbgnbd", [0.52483798, 6.18299201, 0.89135615, 1.61399934], -9582.13268490),
        ("paretonbd", [0.5532755, 10.577612, 0.6062136, 11.667911], -9594.97392983),
    ],
)
def test_cdnow_estimates_to_more_digits(
    every_fit, purchase_model, exact, log_likelihood
):
    fit = every_fit[purchase_model]
    assert fit["params"] == pytest.approx(exact, rel=1e-7)
    assert fit["log_likelihood"] == pytest.approx(log_likelihood, abs=1e-7)


def test_cdnow_standard_errors_and_covariance(every_fit, fitted):
    params, cov_ln = fitted["params"], fitted["cov_ln"]
    cov = cov_ln * np.outer(params, params)
    # CLVTools 0.12.1 on unrounded weeks, then lifetimes on these rows
    se = np.sqrt(np.diag(cov))
    assert se == pytest.approx([0.012557, 0.378224, 0.185733, 0.705407], rel=2e-4)
    assert se == pytest.approx([0.01255732, 0.37822142, 0.18571914, 0.70534576])
    upper = [1.57686e-4, 3.70638e-3, -8.78394e-5, 6.56495e-5, 1.430514e-1]
    upper += [-2.865575e-3, 1.052244e-2, 3.449160e-2, 1.231955e-1, 4.975126e-1]
    assert cov[np.triu_indices(4)] == pytest.approx(upper, rel=1e-5)
    logs = [0.0026794, 0.00346167, -0.00045667, 0.00011156, 0.00734378]
    logs += [-0.00081887, 0.00098284, 0.05486453, 0.06405271, 0.08454945]
    assert cov_ln[np.triu_indices(4)] == pytest.approx(logs, abs=6e-9)
    # the test suite of CLVTools, on unrounded weeks
    pareto = every_fit["paretonbd"]
    se = pareto["params"] * np.sqrt(np.diag(pareto["cov_ln"]))
    theirs = [0.0476264, 0.8427222, 0.1872594, 6.2105448]
    assert se == pytest.approx(theirs, rel=2e-4)


def test_log_likelihood_of_single_customers(purchases):
    # btyd reference values at the published, rounded parameters
    bgnbd, pareto = (0.243, 4.414, 0.793, 2.426), (0.553, 10.578, 0.606, 11.669)
    for (purchase_model, params), cases in {
        ("bgnbd", bgnbd): {
            (2, 30.43, 38.86): -9.4586063071,
            (0, 0, 38.86): -0.5547132764,
            (29, 37.71, 38): -43.8695140536,
        },
        ("paretonbd", pareto): {
            (2, 30.43, 38.86): -9.55428325,
            (26, 30.86, 31): -39.13167154,
            (0, 0, 38.86): -0.52104629,
            (1, 1.71, 38.86): -4.45019433,
            (7, 29.43, 38.86): -21.59464322,
            (20, 10, 39): -24.31295310,
        },
    }.items():
        for history, expected in cases.items():
            likelihood, every = grouped(
                purchases, purchase_model, *([v] for v in history), [1]
            )
            value = likelihood(np.log(params), every)[0]
            assert value == pytest.approx(expected, abs=6e-9)


@pytest.mark.parametrize("params", [(0.24, 4.4, 0.8, 2.4), (1.4, 30, 0.07, 90)])
@pytest.mark.parametrize(
    ("purchase_model", "k"),
    [*((name, 1) for name in EVERY_MODEL), ("bgcnbd", 2), ("mbgcnbd", 4)],
)
def test_derivatives_are_those_of_the_likelihood(
    purchases, history, purchase_model, k, params
):
    likelihood, every = grouped(
        purchases, purchase_model, *history, np.ones(len(history[0]))
    )
    likelihood = functools.partial(likelihood, k=k)
    point = np.log(params)
    _, gradient, hessian = likelihood(point, every, with_hessian=True)
    steps = 1e-5 * np.eye(4)
    up = [likelihood(point + step, every) for step in steps]
    down = [likelihood(point - step, every) for step in steps]
    slopes = [(u[0] - d[0]) / 2e-5 for u, d in zip(up, down, strict=True)]
    bends = [(u[1] - d[1]) / 2e-5 for u, d in zip(up, down, strict=True)]
    assert gradient == pytest.approx(slopes, rel=1e-6, abs=1e-5)
    assert hessian == pytest.approx(np.array(bends), rel=1e-6, abs=2e-4)


def test_the_quadrature_of_pareto_nbd_is_exact(purchases):
    """Against a hundred times as many nodes, on short pieces."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    for params in [(0.55, 74, 0.6, 82), (1.6, 10, 2.5, 1050), (0.6, 10, 0.6, 0.5)]:
        r, alpha, s, beta = params
        for x, t_x, age in [
            (0, 0, 3000),
            (1, 5, 700),
            (30, 100, 900),
            (500, 600, 3000),
        ]:
            edges = np.geomspace(t_x + 0.01, age + 0.01, 61) - 0.01
            middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
            times = (middle[:, None] + half[:, None] * nodes).ravel()
            log_f = -(r + x) * np.log((alpha + times) / (alpha + t_x))
            log_f -= (s + 1) * np.log(beta + times)
            exact = np.outer(half, weights).ravel() @ np.exp(log_f)
            times, weight = purchases.times_of_leaving(
                *(np.array([float(v)]) for v in (x, t_x, age)), r, alpha, beta
            )
            log_f = -(r + x) * np.log((alpha + times) / (alpha + t_x))
            log_f -= (s + 1) * np.log(beta + times)
            assert np.sum(weight * np.exp(log_f)) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("purchase_model", EVERY_MODEL)
def test_compressed_histories_give_the_fit_of_single_customers(
    purchases, cdnow, every_fit, purchase_model
):
    rows = cdnow.groupby(["x", "t_x", "T"]).size().rename("customers").reset_index()
    assert len(rows) == 1016
    fit = purchases.fit_purchases(
        purchase_model, rows["x"], rows["t_x"], rows["T"], rows["customers"]
    )
    single = every_fit[purchase_model]
    assert fit["params"] == pytest.approx(single["params"], rel=1e-9)
    assert fit["log_likelihood"] == pytest.approx(single["log_likelihood"], rel=1e-12)


@pytest.mark.parametrize("unit", [7, 1 / 52, 604_800])
@pytest.mark.parametrize("purchase_model", EVERY_MODEL)
def test_the_unit_of_time_moves_alpha_and_beta_only(
    purchases, history, every_fit, purchase_model, unit
):
    x, t_x, age = history
    fitted = every_fit[purchase_model]
    fit = purchases.fit_purchases(purchase_model, x, t_x * unit, age * unit)
    beta = unit if purchase_model == "paretonbd" else 1
    expected = fitted["params"] * [1, unit, 1, beta]
    assert fit["params"] == pytest.approx(expected, rel=1e-8)
    assert fit["cov_ln"] == pytest.approx(fitted["cov_ln"], rel=1e-7)
    change = x.sum() * np.log(unit)  # densities scale with the unit
    assert fit["log_likelihood"] + change == pytest.approx(fitted["log_likelihood"])


@pytest.mark.parametrize("purchase_model", EVERY_MODEL)
def test_lifetimes_agrees_and_leaves_the_process_alone(
    purchases, history, every_fit, purchase_model
):
    filters, chained = list(warnings.filters), pd.options.mode.chained_assignment
    histories = (*history, np.ones(len(history[0])))
    fitted = every_fit[purchase_model]
    opinion = purchases.second_opinion(purchase_model, histories, fitted, np.inf)
    assert opinion["message"] == ""
    assert opinion["gaps"][0] < 1e-6
    assert opinion["gaps"][1] < 1e-9
    assert warnings.filters == filters
    assert pd.options.mode.chained_assignment == chained
    part = purchases.second_opinion(purchase_model, histories, fitted, max_rows=1500)
    assert part["seen"] == 1500
    assert part["gaps"][0] < 1e-5


def test_disagreement_with_lifetimes_is_flagged(purchases, simulate, monkeypatch):
    rows = compressed(*simulate((0.8, 60, 0.6, 3), 3000))
    honest = purchases.lifetimes_fit

    def other(*arguments):
        params, value = honest(*arguments)
        return params * [1, 1, 1, 1.001], value

    monkeypatch.setattr(purchases, "lifetimes_fit", other)
    row = fit_all(purchases, rows).iloc[0]
    assert row["is_flagged"]
    assert "lifetimes differs by 1.0e-03" in row["message"]
    assert row["lifetimes_parameter_difference"] == pytest.approx(1e-3, rel=0.01)

    def broken(*_):
        raise RuntimeError("no luck")

    monkeypatch.setattr(purchases, "lifetimes_fit", broken)
    row = fit_all(purchases, rows).iloc[0]
    assert row["is_flagged"]
    assert row["message"] == "all: lifetimes failed: no luck"
    assert row["converged"]


@pytest.mark.parametrize("purchase_model", EVERY_MODEL)
def test_the_engine_lifetimes_takes_its_estimates(purchases, simulate, purchase_model):
    histories = simulate(SHOP[purchase_model], 1500, purchase_model=purchase_model)
    rows = compressed(*histories)
    own, other = (
        fit_all(purchases, rows, purchase_model, engine=engine).iloc[0]
        for engine in ("own", "lifetimes")
    )
    assert other["method"] == "lifetimes"
    for name in purchases.MODELS[purchase_model].names:
        assert other[name] == pytest.approx(own[name], rel=1e-5)
        assert other[f"se_{name}"] == pytest.approx(own[f"se_{name}"], rel=1e-5)
    assert other["lifetimes_customers"] == 1500


@pytest.mark.parametrize(
    ("purchase_model", "truth"),
    [
        ("bgnbd", (0.25, 33, 0.72, 2.16)),
        ("bgnbd", (1.4, 30, 0.3, 5)),
        ("mbgnbd", (0.52, 43, 0.9, 1.6)),
        ("mbgnbd", (1.4, 30, 0.3, 5)),
        ("paretonbd", (0.55, 74, 0.6, 82)),
        ("paretonbd", (1.4, 30, 0.9, 400)),
    ],
)
def test_recovers_the_truth_of_simulated_customers(
    purchases, simulate, purchase_model, truth
):
    histories = simulate(truth, 60_000, purchase_model=purchase_model)
    fit = purchases.fit_purchases(purchase_model, *histories)
    z = (np.log(fit["params"]) - np.log(truth)) / np.sqrt(np.diag(fit["cov_ln"]))
    assert np.abs(z).max() < 4
    assert np.abs(fit["params"] / truth - 1).max() < 0.1


# -- Regular buyers


def grocery_fit(purchases, grocery, purchase_model):
    columns = (grocery[c].to_numpy("float64") for c in [*HISTORY, "customers"])
    histories = tuple(columns)
    fit = purchases.fit_stages(purchase_model, histories, grocery["ln_gaps"].sum())
    expected = purchases.expected_purchases(
        purchase_model, fit["params"], fit["k"], *histories[:3], 364
    )
    weeks = fit["params"] / [1, 7, 1, 1]
    # densities scale with the unit
    purchases_made = histories[0] @ histories[3]
    return fit, weeks, fit["log_likelihood"] + purchases_made * np.log(7), expected


@pytest.mark.parametrize(
    ("purchase_model", "k", "published", "log_likelihood", "mae"),
    [
        # vignette of BTYDplus 1.2.0
        ("mbgcnbd", 2, [1.3292, 2.8125, 0.4247, 0.7900], -14978.21, 1.400),
        # our own: BTYDplus publishes none
        ("bgcnbd", 2, [0.3591, 1.1294, 0.5228, 2.7855], -15054.17, 1.467),
        ("mbgnbd", 1, [1.2569, 6.0391, 0.3683, 0.7158], -15781.94, 1.513),
    ],
)
def test_regular_buyers_of_groceries_are_estimated_as_published(
    purchases, grocery, purchase_model, k, published, log_likelihood, mae
):
    fit, weeks, value, expected = grocery_fit(purchases, grocery, purchase_model)
    assert fit["k"] == k
    assert weeks == pytest.approx(published, abs=6e-5)
    assert value == pytest.approx(log_likelihood, abs=6e-3)
    assert (fit["converged"], fit["method"]) == (True, "mle")
    error = np.abs(expected - grocery["purchases_364d"])
    error = np.average(error, weights=grocery["customers"])
    assert error == pytest.approx(mae, abs=1e-3)


def test_irregular_buyers_have_gaps_of_one_stage(purchases, sample):
    days = sample.drop_duplicates(["user_id", "ts"]).sort_values(["user_id", "ts"])
    days = days[days["ts"] <= "1997-09-30"]
    days["gap"] = days.groupby("user_id")["ts"].diff().dt.days
    days["ln_gap"] = np.log(days["gap"])
    user = days.groupby("user_id")
    first, last = user["ts"].min(), user["ts"].max()
    rows = compressed(
        user.size() - 1, (last - first).dt.days, (CDNOW_END - first).dt.days
    )
    rows.loc[0, "ln_gaps"] = days["ln_gap"].sum()
    auto = fit_all(purchases, rows, "auto").iloc[0]
    assert (auto["model_version"], auto["purchase_model"]) == ("auto", "mbgnbd")
    likelihoods = []
    for purchase_model in ("bgcnbd", "mbgcnbd"):
        row = fit_all(purchases, rows, purchase_model).iloc[0]
        plain = fit_all(purchases, rows, purchase_model.replace("c", "")).iloc[0]
        assert row["k"] == 1
        names = ["r", "alpha", "a", "b", "log_likelihood", "is_flagged"]
        assert row[names].tolist() == plain[names].tolist()
        assert row["lifetimes_parameter_difference"] < 1e-5
        likelihoods.append(row["log_likelihood"])
    assert auto["log_likelihood"] == max(likelihoods)
    assert auto["lifetimes_parameter_difference"] < 1e-5


def test_the_likeliest_model_is_found_among_customers_with_known_gaps(
    purchases, grocery
):
    rows = grocery.assign(stratum="all", cutoff_date="2006-12-31")
    whole = fit_all(
        purchases, rows.assign(sampled_customers=rows["customers"]), "auto"
    ).iloc[0]
    assert (whole["purchase_model"], whole["k"]) == ("mbgcnbd", 2)
    # Every second history was not read for its gaps.
    known = np.arange(len(rows)) % 2 == 1
    part = rows.assign(
        sampled_customers=np.where(known, rows["customers"], 0),
        ln_gaps=np.where(known, rows["ln_gaps"], 0.0),
    )
    part = fit_all(purchases, part, "auto").iloc[0]
    names = ["purchase_model", "k", "customers", "r", "alpha", "a", "b"]
    assert part[names].tolist() == whole[names].tolist()
    assert part["log_likelihood"] == pytest.approx(whole["log_likelihood"], rel=0.02)


@pytest.mark.parametrize(
    ("purchase_model", "truth", "k"),
    [("bgcnbd", (0.8, 20, 0.6, 3), 3), ("mbgcnbd", (1.3, 20, 0.4, 1.8), 2)],
)
def test_regular_buyers_of_a_simulation_buy_as_often_as_expected(
    purchases, simulate, purchase_model, truth, k
):
    *history, later, ln_gaps = simulate(
        truth, 40_000, purchase_model=purchase_model, k=k, ahead=180
    )
    weight = np.ones(len(later))
    fit = purchases.fit_stages(purchase_model, (*history, weight), ln_gaps.sum())
    assert fit["k"] == k
    z = (np.log(fit["params"]) - np.log(truth)) / np.sqrt(np.diag(fit["cov_ln"]))
    assert np.abs(z).max() < 4
    expected = purchases.expected_purchases(purchase_model, truth, k, *history, 180)
    x, t_x, age = history
    groups = np.minimum(x, 6) + 7 * (age - t_x > 60)
    for group in np.unique(groups):
        mine = groups == group
        error = np.std(later[mine] - expected[mine]) / np.sqrt(mine.sum())
        assert abs(np.mean(later[mine] - expected[mine])) < 4 * error


@pytest.mark.parametrize("purchase_model", EVERY_MODEL)
def test_nobody_drops_out(purchases, simulate, purchase_model):
    rows = compressed(*simulate((0.8, 60, 0, 1), 3000))
    row = fit_all(purchases, rows, purchase_model).iloc[0]
    assert row["is_flagged"]
    assert row["method"] == "penalized"
    assert row["penalizer"] > 0
    assert "no interior optimum" in row["message"]
    assert row["r"] == pytest.approx(0.8, rel=0.1)
    if purchase_model == "paretonbd":
        assert row["s"] / row["beta"] < 1e-4  # leaves in 30 years or later
    else:
        assert row["a"] / (row["a"] + row["b"]) < 0.01
    names = [f"se_{name}" for name in purchases.MODELS[purchase_model].names]
    assert np.isfinite(row[names].astype(float)).all()


@pytest.mark.parametrize(
    "rows",
    [
        ([0], [0], [100]),
        ([0], [0], [0]),
        ([1], [5], [5]),
        (np.zeros(5000), np.zeros(5000), np.arange(5000) % 365),
        ([0, 1, 0, 3, 2], [0, 20, 0, 90, 10], [40, 60, 300, 100, 200]),
        (np.full(20, 9), np.full(20, 300), np.full(20, 300)),
    ],
    ids=["one", "newborn", "one repeat", "nobody repeats", "five", "all alike"],
)
@pytest.mark.parametrize("purchase_model", EVERY_MODEL)
def test_poor_data_give_a_usable_flagged_row(purchases, rows, purchase_model):
    row = fit_all(purchases, compressed(*rows), purchase_model).iloc[0]
    assert row["is_flagged"]
    assert row["message"]
    params = row[list(purchases.MODELS[purchase_model].names)].astype(float)
    assert np.isfinite(params).all()
    assert (params > 0).all()
    assert params["alpha"] < 1e5


def test_impossible_histories_are_refused(purchases):
    with pytest.raises(ValueError, match="t_x <= t"):
        purchases.fit_purchases("bgnbd", [1, 2], [10, 50], [40, 40])


def test_strata_inherit_from_their_parent(purchases, simulate):
    shop = (0.8, 60, 0.6, 3)
    parts = [
        compressed(*simulate(shop, 2000, seed=1), stratum="DE|online"),
        compressed(*simulate(shop, 300, seed=2), stratum="DE|store"),
        compressed(*simulate(shop, 200, seed=3), stratum="FR|online"),
        compressed(*simulate((0.8, 60, 0, 1), 1500, seed=4), stratum="DE|club"),
        compressed(*simulate(shop, 100, seed=5), stratum="DEX|store"),  # not in DE
    ]
    rows = pd.concat(parts)
    table = fit_all(purchases, rows, min_customers=1000).set_index("stratum")
    assert table["fitted_stratum"].to_dict() == {
        "DE|club": "DE",
        "DE|online": "DE|online",
        "DE|store": "DE",
        "DEX|store": "all",
        "FR|online": "all",
    }
    assert table.loc["DE|online", "method"] == "mle"
    assert (table.drop("DE|online")["method"] == "inherited").all()
    # too small is a rule, not a fault; a failed fit is a fault
    assert table["is_flagged"].to_dict() == {
        "DE|club": True,
        "DE|online": False,
        "DE|store": False,
        "DEX|store": False,
        "FR|online": False,
    }
    assert table.loc["DE|store", "message"] == (
        "DE|store: 300 customers, too few to fit"
    )
    assert table["customers"].tolist() == [4100, 3800, 2000, 3800, 4100]
    # the parent is the fit of the sum of its strata
    pooled = pd.concat([parts[0], parts[1], parts[3]])
    pooled = pooled.groupby(HISTORY, as_index=False)["customers"].sum()
    fit = purchases.fit_purchases(
        "bgnbd", *(pooled[c] for c in [*HISTORY, "customers"])
    )
    names = ["r", "alpha", "a", "b"]
    got = table.loc["DE|store", names].astype(float)
    assert got.to_numpy() == pytest.approx(fit["params"], rel=1e-9)


STRATA = ("DE|online", "DE|store", "FR|online")


def test_a_stratum_has_the_purchase_model_the_spec_gives_it(purchases, simulate):
    rows = pd.concat(
        compressed(*simulate((0.8, 60, 0.6, 3), 1000, seed=k), stratum=stratum)
        for k, stratum in enumerate(STRATA)
    )
    spec = {"default": "bgnbd", "DE": "paretonbd", "DE|store": "mbgnbd"}
    table = fit_all(purchases, rows, spec).set_index("stratum")
    assert set(table["model_version"]) == {"mixed"}
    assert table["purchase_model"].to_dict() == {
        "DE|online": "paretonbd",
        "DE|store": "mbgnbd",
        "FR|online": "bgnbd",
    }
    assert table[["a", "b"]].isna().any(axis=1).tolist() == [True, False, False]
    assert table[["s", "beta"]].isna().any(axis=1).tolist() == [False, True, True]
    # an inherited fit is one of the same model, to the customers of the parent
    parent = fit_all(purchases, rows, spec, min_customers=1100).set_index("stratum")
    assert parent["fitted_stratum"].tolist() == ["DE", "DE", "all"]
    assert parent["purchase_model"].equals(table["purchase_model"])
    alike = fit_all(purchases, rows, {"default": "mbgnbd", "DE": "mbgnbd"})
    assert set(alike["model_version"]) == {"mbgnbd"}
    for unfit, sentence in [
        ({"default": "bgnbd", "IT": "mbgnbd"}, "there is no stratum 'IT'"),
        (
            "bgnbbd",
            "no purchase model 'bgnbbd'; use bgnbd, mbgnbd, paretonbd, bgbb, bgcnbd",
        ),
    ]:
        with pytest.raises(ValueError, match=sentence):
            fit_all(purchases, rows, unfit)
    with pytest.raises(ValueError, match="fit_engine is 'stan'"):
        fit_all(purchases, rows, engine="stan")


def test_challengers_are_fitted_at_backtest_cutoffs_only(purchases, simulate):
    history = simulate((0.8, 60, 0.6, 3), 1500)
    rows = pd.concat(
        compressed(*history, cutoff=CUTOFF - pd.Timedelta(days=d)) for d in (0, 90)
    )
    table = fit_all(purchases, rows, "bgnbd", ["paretonbd", "mbgnbd"])
    backtest = table[table["cutoff_date"] < CUTOFF.date()]
    assert backtest["model_version"].tolist() == ["bgnbd", "paretonbd", "mbgnbd"]
    assert backtest["is_current_spec"].tolist() == [True, False, False]
    assert backtest["purchase_model"].equals(backtest["model_version"])
    production = table[table["cutoff_date"] == CUTOFF.date()]
    assert production["model_version"].tolist() == ["bgnbd"]
    assert production["is_current_spec"].all()


def test_lineage(purchases):
    assert purchases.lineage("DE|online") == ["DE|online", "DE", "all"]
    assert purchases.lineage("all") == ["all"]


def test_order_and_types_of_the_input_do_not_matter(purchases, simulate):
    pytest.importorskip("db_dtypes")  # dates as BigQuery gives them
    rows = compressed(*simulate((0.8, 60, 0.6, 3), 2000))
    shuffled = rows.sample(frac=1, random_state=0).astype(
        {"frequency": "Int64", "age_days": object, "customers": "float64"}
    )
    shuffled["cutoff_date"] = shuffled["cutoff_date"].astype("dbdate")
    pd.testing.assert_frame_equal(
        fit_all(purchases, rows), fit_all(purchases, shuffled), check_exact=True
    )


def test_model_gives_the_documented_table(purchases, simulate, fake_dbt, stored):
    later = CUTOFF + pd.Timedelta(days=90)
    history = simulate((0.8, 60, 0.6, 3), 1500)
    rows = pd.concat([compressed(*history), compressed(*history, cutoff=later)])
    cutoffs = pd.DataFrame({"cutoff_date": [CUTOFF, later]})
    cutoffs["is_production"] = [False, True]
    tables = {"int_histories__compressed": rows, "int_cutoffs": cutoffs}
    tables |= dict.fromkeys(
        [f"int_season__{name}" for name in ("days", "observed", "outcomes")], cutoffs
    )
    dbt = fake_dbt(
        tables,
        purchase_model="bgnbd",
        min_stratum_customers=500,
        challenger_models=["paretonbd"],
    )
    frame = purchases.model(dbt, None)
    assert list(frame.columns) == list(purchases.COLUMNS)
    assert frame["model_version"].tolist() == ["bgnbd", "paretonbd", "bgnbd"]
    dates = [dt.date(2024, 6, 30)] * 2 + [dt.date(2024, 9, 28)]
    assert frame["cutoff_date"].tolist() == dates
    assert not frame["is_flagged"].any()
    types = stored(frame)
    kinds = {"str": "VARCHAR", "date": "DATE", "bool": "BOOLEAN"}
    kinds |= {"float64": "DOUBLE", "int64": "BIGINT"}
    assert types == {c: kinds[t] for c, t in purchases.COLUMNS.items()}
    tables["int_histories__compressed"] = rows.iloc[:0]
    empty = purchases.model(fake_dbt(tables), None)
    assert empty.empty
    assert stored(empty) == types
