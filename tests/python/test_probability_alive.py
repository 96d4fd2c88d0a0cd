"""P(alive) as SQL computes it, against exact integrals and lifetimes."""

import itertools

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, dbt_runner
from scipy.special import expit, gammaincc

QUERY = """
select *, {{ probability_alive() }} as probability_alive
from (
    select
        *, {{ leaving_from() }} as leaving_from, {{ leaving_span() }} as leaving_span,
        {{ stage_chances() }}
    from histories
)
"""
PARETO = [  # r, alpha, s, beta, in days
    (0.553, 74, 0.606, 82),  # CDNOW
    (1.57, 10.5, 2.48, 1053),  # Complete Journey
    (1.4, 340, 0.56, 328),  # apparel
    (0.55, 10, 0.6, 1),
    (0.2, 5, 0.05, 0.5),
    (0.05, 2, 5, 300),
    (20, 500, 0.5, 5),  # all buy alike
    (100, 3000, 1, 10),
    (1, 30, 30, 3000),  # all leave alike
    (0.25, 33, 0.02, 0.001),  # many leave at once
]
BETA_GEOMETRIC = [(0.25, 33, 0.72, 2.16), (1.4, 9.5, 0.07, 99), (0.8, 60, 0.6, 3)]


def histories(every):
    """A hard grid: x up to 500, T up to 3,000 days, gone early, late or not at all."""
    rows = []
    for params, x, age in itertools.product(
        every, (0, 1, 2, 5, 20, 100, 500), (0, 1, 30, 365, 3000)
    ):
        for share in (0, 0.3, 0.9, 1) if x else (0,):
            if x <= age:
                t_x = x + share * (age - x) if x else 0
                rows.append((x, t_x, age, *params))
    return np.array(rows, float)


def exact(x, t_x, age, r, alpha, s, beta):
    """P(alive) of Pareto/NBD, by 40 nodes on each of many short pieces."""
    lowest = min(alpha, beta)
    end = np.log((lowest + age) / (lowest + t_x))
    edges, step = [0.0], min(2 / (r + x + s + 1), end / 4)
    while edges[-1] < end:
        edges.append(min(edges[-1] + step, end))
        step = min(1.5 * step, 0.25)
    if end == 0:
        return 1.0
    nodes, weights = np.polynomial.legendre.leggauss(40)
    half = np.diff(edges)[:, None] / 2
    middle = (np.array(edges[1:]) + edges[:-1])[:, None] / 2
    times = (lowest + t_x) * np.exp(middle + half * nodes) - lowest
    parts = (r + x) * np.log((alpha + age) / (alpha + times))
    parts += s * np.log((beta + age) / (beta + times))
    parts += np.log(s * half * weights * (lowest + times) / (beta + times))
    return expit(-np.logaddexp.reduce(parts, axis=None))


@pytest.fixture(scope="module")
def in_sql(tmp_path_factory):
    """Function of (purchase model, rows of x, t_x, T and parameters) -> P(alive)."""
    target = tmp_path_factory.mktemp("target")
    result = dbt_runner().invoke(
        [
            *("--quiet", "--no-populate-cache", "--no-partial-parse", "compile"),
            *("--no-introspect", "--inline", QUERY, "--target=duckdb"),
            *(f"--project-dir={ROOT}", f"--profiles-dir={ROOT}"),
            *(f"--target-path={target}", f"--log-path={target}"),
        ]
    )
    assert result.success, result.exception
    query = result.result.results[0].node.compiled_code

    def probability_alive(purchase_model, rows, k=1):
        names = ["r", "alpha", *("s", "beta", "a", "b")]
        if purchase_model != "paretonbd":
            names = ["r", "alpha", *("a", "b", "s", "beta")]
        frame = pd.DataFrame(
            np.pad(rows, [(0, 0), (0, 2)], constant_values=np.nan),
            columns=["frequency", "recency_time", "age_time", *names],
        )
        frame["purchase_model"], frame["k"] = purchase_model, k
        connection = duckdb.connect()
        connection.register("histories", frame)
        return connection.sql(query).df()["probability_alive"].to_numpy()

    return probability_alive


def test_pareto_nbd_equals_the_integral(in_sql):
    rows = histories(PARETO)
    expected = np.array([exact(*row) for row in rows])
    found = in_sql("paretonbd", rows)
    assert len(rows) == 690
    assert np.abs(found - expected).max() < 2e-10
    # one-time buyers may have left
    once = (rows[:, 0] == 0) & (rows[:, 2] > 0)
    assert found[once].max() < 1
    # relative, where they are almost surely gone but not beyond all measure
    rare = (expected > 1e-200) & (expected < 1e-3)
    assert found[rare] == pytest.approx(expected[rare], rel=1e-8)


@pytest.mark.parametrize(
    ("purchase_model", "fitter", "every"),
    [
        ("bgnbd", "BetaGeoFitter", BETA_GEOMETRIC),
        ("mbgnbd", "ModifiedBetaGeoFitter", BETA_GEOMETRIC),
        ("paretonbd", "ParetoNBDFitter", PARETO[:3]),
    ],
)
def test_every_model_equals_lifetimes(purchases, in_sql, purchase_model, fitter, every):
    with purchases.contained():
        import lifetimes
    for params in every:
        rows = histories([params])
        rows = rows[(rows[:, 0] <= 100) & (rows[:, 2] > 0)]
        theirs = getattr(lifetimes, fitter)()
        theirs.params_ = pd.Series(params, purchases.MODELS[purchase_model].names)
        x, t_x, age = rows.T[:3]
        with purchases.contained():
            expected = theirs.conditional_probability_alive(x, t_x, age)
        found = in_sql(purchase_model, rows)
        known = np.isfinite(expected)  # its difference of two 2F1 can be rounded to NaN
        assert known.sum() >= 60
        assert found[known] == pytest.approx(np.asarray(expected)[known], abs=1e-8)


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("purchase_model", ["bgcnbd", "mbgcnbd"])
def test_regular_buyers_are_alive_as_an_integral_over_rates_says(
    in_sql, purchase_model, k
):
    """Over ln(lambda), of the chances of gaps, of what has passed since, of leaving."""
    rows = histories(BETA_GEOMETRIC)
    rows = rows[(rows[:, 0] <= 100) & (rows[:, 2] > 0)]
    found = in_sql(purchase_model, rows, k)
    for (x, t_x, age, r, alpha, a, b), probability in zip(rows, found, strict=True):
        stayed = b + x - 1 + (purchase_model == "mbgcnbd")
        if stayed == b - 1:
            assert probability == 1
            continue
        rate = np.exp(np.linspace(-200, 60, 60_001) - np.log(alpha + age))
        weight = (r + k * x) * np.log(rate) - (alpha + t_x) * rate
        passed = gammaincc(k, rate * (age - t_x))  # P(fewer than k stages)
        weight = np.exp(weight - weight.max())
        here, gone = stayed * (weight @ passed), a * weight.sum()
        assert probability == pytest.approx(here / (here + gone), rel=1e-8, abs=1e-12)
