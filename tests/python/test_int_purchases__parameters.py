"""BG/NBD fits: published numbers, lifetimes, derivatives, fallbacks."""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest

CUTOFF = pd.Timestamp("2024-06-30")
HISTORY = ["frequency", "recency_days", "age_days"]


def compressed(x, t_x, age, stratum="all", cutoff=CUTOFF):
    """The input table, on the day grain."""
    frame = pd.DataFrame({"frequency": x, "recency_days": t_x, "age_days": age})
    frame = frame.astype(int).value_counts(sort=False).rename("customers")
    return frame.reset_index().assign(stratum=stratum, cutoff_date=cutoff)


@pytest.fixture(scope="module")
def fitted(bgnbd, cdnow):
    return bgnbd.fit_bgnbd(cdnow["x"], cdnow["t_x"], cdnow["T"])


def test_cdnow_estimates_are_the_published_ones(fitted):
    # Fader, Hardie & Lee (2005), table 2
    assert np.round(fitted["params"], 3) == pytest.approx([0.243, 4.414, 0.793, 2.426])
    assert round(fitted["log_likelihood"], 1) == -9582.4
    assert fitted["converged"]
    assert fitted["method"] == "mle"
    # more digits: lifetimes 0.11.3 at a tolerance of 1e-9
    exact = [0.24259291, 4.41353156, 0.79288615, 2.42575344]
    assert fitted["params"] == pytest.approx(exact, rel=3e-8)
    assert fitted["log_likelihood"] == pytest.approx(-9582.42556057, abs=1e-7)


def test_cdnow_standard_errors_and_covariance(fitted):
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


def test_log_likelihood_of_single_customers(bgnbd):
    # btyd reference values at the published, rounded parameters
    params = np.log([0.243, 4.414, 0.793, 2.426])
    for (x, t_x, age), expected in {
        (2, 30.43, 38.86): -9.4586063071,
        (0, 0, 38.86): -0.5547132764,
        (29, 37.71, 38): -43.8695140536,
    }.items():
        grouped = bgnbd.group_histories([x], [t_x], [age], [1])
        value = bgnbd.log_likelihood(params, grouped)[0]
        assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("params", [(0.24, 4.4, 0.8, 2.4), (1.4, 30, 0.07, 90)])
def test_derivatives_are_those_of_the_likelihood(bgnbd, cdnow, params):
    grouped = bgnbd.group_histories(
        cdnow["x"], cdnow["t_x"], cdnow["T"], np.ones(len(cdnow))
    )
    point = np.log(params)
    _, gradient, hessian = bgnbd.log_likelihood(point, grouped, with_hessian=True)
    steps = 1e-5 * np.eye(4)
    up = [bgnbd.log_likelihood(point + step, grouped) for step in steps]
    down = [bgnbd.log_likelihood(point - step, grouped) for step in steps]
    slopes = [(u[0] - d[0]) / 2e-5 for u, d in zip(up, down, strict=True)]
    bends = [(u[1] - d[1]) / 2e-5 for u, d in zip(up, down, strict=True)]
    assert gradient == pytest.approx(slopes, rel=1e-6)
    assert hessian == pytest.approx(np.array(bends), rel=1e-6, abs=2e-4)


def test_compressed_histories_give_the_fit_of_single_customers(bgnbd, cdnow, fitted):
    rows = cdnow.groupby(["x", "t_x", "T"]).size().rename("customers").reset_index()
    assert len(rows) == 1016
    fit = bgnbd.fit_bgnbd(rows["x"], rows["t_x"], rows["T"], rows["customers"])
    assert fit["params"] == pytest.approx(fitted["params"], rel=1e-10)
    assert fit["log_likelihood"] == pytest.approx(fitted["log_likelihood"], rel=1e-12)


@pytest.mark.parametrize("unit", [7, 1 / 52, 604_800])
def test_the_unit_of_time_moves_alpha_only(bgnbd, cdnow, fitted, unit):
    fit = bgnbd.fit_bgnbd(cdnow["x"], cdnow["t_x"] * unit, cdnow["T"] * unit)
    expected = fitted["params"] * [1, unit, 1, 1]
    assert fit["params"] == pytest.approx(expected, rel=1e-9)
    assert fit["cov_ln"] == pytest.approx(fitted["cov_ln"], rel=1e-8)
    change = cdnow["x"].sum() * np.log(unit)  # densities scale with the unit
    assert fit["log_likelihood"] + change == pytest.approx(fitted["log_likelihood"])


def test_lifetimes_agrees_and_leaves_the_process_alone(bgnbd, cdnow, fitted):
    filters, chained = list(warnings.filters), pd.options.mode.chained_assignment
    histories = (*(cdnow[c].to_numpy("float64") for c in ("x", "t_x", "T")),)
    histories += (np.ones(len(cdnow)),)
    opinion = bgnbd.second_opinion(histories, fitted, max_rows=np.inf)
    assert opinion["message"] == ""
    assert opinion["gaps"][0] < 1e-6
    assert opinion["gaps"][1] < 1e-9
    assert warnings.filters == filters
    assert pd.options.mode.chained_assignment == chained
    part = bgnbd.second_opinion(histories, fitted, max_rows=1500)
    assert part["seen"] == 1500
    assert part["gaps"][0] < 1e-6


def test_disagreement_with_lifetimes_is_flagged(bgnbd, simulate, monkeypatch):
    rows = compressed(*simulate((0.8, 60, 0.6, 3), 3000))
    honest = bgnbd.lifetimes_fit

    def other(*histories):
        params, value = honest(*histories)
        return params * [1, 1, 1, 1.001], value

    monkeypatch.setattr(bgnbd, "lifetimes_fit", other)
    row = bgnbd.fit_all(rows).iloc[0]
    assert row["is_flagged"]
    assert "lifetimes differs by 1.0e-03" in row["message"]
    assert row["lifetimes_parameter_difference"] == pytest.approx(1e-3, rel=0.01)

    def broken(*_):
        raise RuntimeError("no luck")

    monkeypatch.setattr(bgnbd, "lifetimes_fit", broken)
    row = bgnbd.fit_all(rows).iloc[0]
    assert row["is_flagged"]
    assert row["message"] == "all: lifetimes failed: no luck"
    assert row["converged"]


def test_the_engine_lifetimes_takes_its_estimates(bgnbd, simulate):
    rows = compressed(*simulate((0.8, 60, 0.6, 3), 3000))
    own, other = (bgnbd.fit_all(rows, engine=e).iloc[0] for e in ("own", "lifetimes"))
    assert other["method"] == "lifetimes"
    for name in ("r", "alpha", "a", "b", "se_r", "se_alpha", "se_a", "se_b"):
        assert other[name] == pytest.approx(own[name], rel=1e-5)
    assert other["lifetimes_customers"] == 3000
    with pytest.raises(ValueError, match="fit_engine is 'stan'"):
        bgnbd.fit_all(rows, engine="stan")


@pytest.mark.parametrize("truth", [(0.25, 33, 0.72, 2.16), (1.4, 30, 0.3, 5)])
def test_recovers_the_truth_of_simulated_customers(bgnbd, simulate, truth):
    fit = bgnbd.fit_bgnbd(*simulate(truth, 60_000))
    z = (np.log(fit["params"]) - np.log(truth)) / np.sqrt(np.diag(fit["cov_ln"]))
    assert np.abs(z).max() < 4
    assert np.abs(fit["params"] / truth - 1).max() < 0.1


def test_nobody_drops_out(bgnbd, simulate):
    row = bgnbd.fit_all(compressed(*simulate((0.8, 60, 0, 1), 3000))).iloc[0]
    assert row["is_flagged"]
    assert row["method"] == "penalized"
    assert row["penalizer"] > 0
    assert "no interior optimum" in row["message"]
    assert row["r"] == pytest.approx(0.8, rel=0.1)
    assert row["a"] / (row["a"] + row["b"]) < 0.01
    assert np.isfinite(row[["se_r", "se_alpha", "se_a", "se_b"]].astype(float)).all()


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
def test_poor_data_give_a_usable_flagged_row(bgnbd, rows):
    row = bgnbd.fit_all(compressed(*rows)).iloc[0]
    assert row["is_flagged"]
    assert row["message"]
    params = row[["r", "alpha", "a", "b"]].astype(float)
    assert np.isfinite(params).all()
    assert (params > 0).all()
    assert params["alpha"] < 1e5


def test_impossible_histories_are_refused(bgnbd):
    with pytest.raises(ValueError, match="t_x <= t"):
        bgnbd.fit_bgnbd([1, 2], [10, 50], [40, 40])


def test_strata_inherit_from_their_parent(bgnbd, simulate):
    shop = (0.8, 60, 0.6, 3)
    parts = [
        compressed(*simulate(shop, 2000, seed=1), stratum="DE|online"),
        compressed(*simulate(shop, 300, seed=2), stratum="DE|store"),
        compressed(*simulate(shop, 200, seed=3), stratum="FR|online"),
        compressed(*simulate((0.8, 60, 0, 1), 1500, seed=4), stratum="DE|club"),
        compressed(*simulate(shop, 100, seed=5), stratum="DEX|store"),  # not in DE
    ]
    rows = pd.concat(parts)
    table = bgnbd.fit_all(rows, min_customers=1000).set_index("stratum")
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
    fit = bgnbd.fit_bgnbd(*(pooled[c] for c in [*HISTORY, "customers"]))
    names = ["r", "alpha", "a", "b"]
    got = table.loc["DE|store", names].astype(float)
    assert got.to_numpy() == pytest.approx(fit["params"], rel=1e-9)


def test_lineage(bgnbd):
    assert bgnbd.lineage("DE|online") == ["DE|online", "DE", "all"]
    assert bgnbd.lineage("all") == ["all"]


def test_order_and_types_of_the_input_do_not_matter(bgnbd, simulate):
    pytest.importorskip("db_dtypes")  # dates as BigQuery gives them
    rows = compressed(*simulate((0.8, 60, 0.6, 3), 2000))
    shuffled = rows.sample(frac=1, random_state=0).astype(
        {"frequency": "Int64", "age_days": object, "customers": "float64"}
    )
    shuffled["cutoff_date"] = shuffled["cutoff_date"].astype("dbdate")
    pd.testing.assert_frame_equal(
        bgnbd.fit_all(rows), bgnbd.fit_all(shuffled), check_exact=True
    )


def test_model_gives_the_documented_table(bgnbd, simulate, fake_dbt, stored):
    later = CUTOFF + pd.Timedelta(days=90)
    history = simulate((0.8, 60, 0.6, 3), 1500)
    rows = pd.concat([compressed(*history), compressed(*history, cutoff=later)])
    dbt = fake_dbt({"int_histories__compressed": rows}, min_stratum_customers=500)
    frame = bgnbd.model(dbt, None)
    assert list(frame.columns) == list(bgnbd.COLUMNS)
    assert frame["cutoff_date"].tolist() == [dt.date(2024, 6, 30), dt.date(2024, 9, 28)]
    assert not frame["is_flagged"].any()
    types = stored(frame)
    kinds = {"str": "VARCHAR", "date": "DATE", "bool": "BOOLEAN"}
    kinds |= {"float64": "DOUBLE", "int64": "BIGINT"}
    assert types == {c: kinds[t] for c, t in bgnbd.COLUMNS.items()}
    empty = bgnbd.model(fake_dbt({"int_histories__compressed": rows.iloc[:0]}), None)
    assert empty.empty
    assert stored(empty) == types
