"""Expectations given alive: published numbers, lifetimes, bisection, simulation."""

import datetime as dt
import functools
import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.special import betainc, betaln, expit, gammaln, logit
from scipy.stats import nbinom

PAPER = (0.243, 4.414, 0.793, 2.426)  # Fader, Hardie & Lee (2005), weeks
CDNOW = (0.25, 33, 0.72, 2.16)
GROCERY = (1.4, 9.5, 0.07, 99)
SPENDING = {CDNOW: (6.25, 3.74), GROCERY: (0.57, 3.7)}
# Pareto/NBD, in days: the fits of CDNOW and of Complete Journey, and quick leavers
PARETO = [(0.6, 81, 0.52, 62), (1.57, 10.5, 2.48, 1053), (1, 10, 1.5, 30)]
CUTOFF = dt.date(2024, 6, 30)


def alive(x, t_x, age, params):
    """P(alive), Fader, Hardie & Lee (2008); the product computes it in SQL."""
    r, alpha, a, b = params
    odds = a / (b + x - 1) * ((alpha + age) / (alpha + t_x)) ** (r + x) if x else 0
    return 1 / (1 + odds)


def counts(x, age, horizon, params, purchase_model="bgnbd", stage=0, k=1):
    """P(N >= m | alive), m = 1, 2 ..., term by term."""
    r, alpha, a, b = params
    if purchase_model == "paretonbd":
        return pareto_counts(x, age, horizon, params)
    b += purchase_model.startswith("m")
    chance = (alpha + age) / (alpha + age + horizon)
    shape = r + k * x + stage
    m = np.arange(1, int(nbinom.isf(1e-15, shape, chance) + stage) // k + 3)
    stays = np.exp(betaln(a, b + x + m - 1) - betaln(a, b + x))
    return stays * nbinom.sf(m * k - stage - 1, shape, chance)


@functools.cache
def pareto_counts(x, age, horizon, params):
    """P(N >= k | alive) of Pareto/NBD, on short pieces of the time of leaving."""
    r, alpha, s, beta = params
    end = (alpha + age) / (alpha + age + horizon)
    k = np.arange(1, int(nbinom.isf(1e-15, r + x, end)) + 3)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.concatenate([[0], np.geomspace(horizon / 30, horizon, 9)])
    half = np.diff(edges)[:, None] / 2
    days = ((edges[1:] + edges[:-1])[:, None] / 2 + half * nodes).ravel()
    density = s * (beta + age) ** s / (beta + age + days) ** (s + 1)
    success = (alpha + age) / (alpha + age + days[:, None])
    left = ((half * weights).ravel() * density) @ nbinom.sf(k - 1, r + x, success)
    stays = ((beta + age) / (beta + age + horizon)) ** s
    return left + stays * nbinom.sf(k - 1, r + x, end)


# --- published numbers --------------------------------------------------------------


@pytest.mark.parametrize(
    ("t", "x", "t_x", "age", "expected", "p_alive"),
    [  # BTYD 2.4.3; the first is the spreadsheet's 1.226
        (39, 2, 30.43, 38.86, 1.22602817, 0.72657857),
        (2, 10, 35, 39, 0.39156921, 0.84260319),
        (10, 15, 30, 39, 1.22132699, 0.37509189),
        (52, 26, 30.86, 31, 25.75819594, 0.96891565),
        (39, 0, 0, 38.86, 0.19509805, 1),
        (39, 0, 0, 27, 0.25939538, 1),
        (39, 1, 1.71, 38.86, 0.20318699, 0.21210099),
        (39, 7, 29.43, 38.86, 3.33705327, 0.64175635),
        (39, 29, 37.71, 38, 20.05294899, 0.96912952),
        (39, 20, 10, 39, 0.00000008, 0.00000001),
        (1, 3, 20, 39, 0.03438992, 0.46323539),
        (104, 5, 35, 39, 6.65664982, 0.82998081),
    ],
)
def test_expected_purchases_as_published(
    expectations, t, x, t_x, age, expected, p_alive
):
    given_alive = expectations.expected_purchases(x, [age], [t], PAPER)[0, 0]
    assert alive(x, t_x, age, PAPER) == pytest.approx(p_alive, abs=6e-9)
    assert alive(x, t_x, age, PAPER) * given_alive == pytest.approx(expected, abs=6e-9)


@pytest.mark.parametrize(
    ("purchase_model", "params", "cases"),
    [
        (  # BTYDplus 1.2.0 and lifetimes 0.11.3: t, x, T, CET, P(alive)
            "mbgnbd",
            (0.525, 6.183, 0.891, 1.614),
            [
                (39, 2, 38.86, 1.26296062, 0.70620227),
                (39, 0, 38.86, 0.15401275, 0.38973508),
                (39, 7, 38.86, 3.16757243, 0.62272381),
            ],
        ),
        (  # BTYD 2.4.3
            "paretonbd",
            (0.553, 10.578, 0.606, 11.669),
            [
                (39, 2, 38.86, 1.45512319, 0.86916756),
                (52, 26, 31, 25.45847295, 0.99791873),
                (39, 0, 38.86, 0.10708147, 0.29528660),
                (39, 1, 38.86, 0.17109298, 0.16800233),
                (39, 7, 38.86, 3.71225138, 0.74950141),
            ],
        ),
    ],
)
def test_expected_purchases_of_other_models(
    expectations, purchase_model, params, cases
):
    for t, x, age, expected, p_alive in cases:
        table = expectations.expectation_table(
            x, np.array([age]), np.array([float(t)]), purchase_model, params, None, 0.1
        )
        # P(alive) is published to eight digits
        assert p_alive * table[0, 0, 0] == pytest.approx(expected, rel=1e-7)


def test_expected_purchases_of_a_new_customer(expectations):
    weeks = [0.1429, 1, 3, 31.8571, 32, 39, 52, 78]
    expected = [0.00782835, 0.05326789, 0.15086523, 1.04199606, 1.04524333]
    expected += [1.19672319, 1.44605060, 1.86051906]
    got = expectations.expected_purchases(0, [0], weeks, PAPER)[0]
    assert got == pytest.approx(expected, rel=1e-6)


def test_more_purchases_can_mean_fewer_to_come(expectations):
    # the frequency paradox, BTYD at its own fit
    params = (0.24259815, 4.4136842, 0.79298987, 2.4261667)
    cases = {10: 0.34746027, 15: 0.042833957, 20: 0.004158986, 25: 0.00035837046}
    for x, expected in cases.items():
        given_alive = expectations.expected_purchases(x, [39], [52], params)[0, 0]
        got = alive(x, 20, 39, params) * given_alive
        assert got == pytest.approx(expected, rel=1e-7)


def test_count_distribution_as_published(expectations):
    def masses(weeks):
        top = 60
        at_least = expectations.arrivals(0, [0], weeks, 400, *PAPER[:2])[0, ::-1]
        at_least = at_least.cumsum()[::-1][1:top] * expectations.survival(
            0, top - 1, *PAPER[2:]
        )
        return -np.diff(np.concatenate([[1.0], at_least]))

    expected = [0.57378635, 0.19939528, 0.08542976, 0.04586035, 0.02767145]
    expected += [0.01796549, 0.01226898, 0.00869543]
    assert masses(39)[:8] == pytest.approx(expected, abs=6e-9)
    assert masses(2)[10] == pytest.approx(1.0786896e-7, rel=1e-6)
    tail = [0.00199952145, 0.00151702363, 0.00116331501, 0.00090031479, 0.00070236377]
    tail += [0.00055179024, 0.00043619128, 0.00034671714, 0.00027696126, 0.00022222605]
    assert masses(30)[11:21] == pytest.approx(tail, rel=1e-7)
    columns = expectations.expectation_table(
        0, np.zeros(1), np.array([39.0]), "bgnbd", PAPER, None, 0.1
    )[0, 0]
    at_least = columns[2 : 2 + expectations.TOP_COUNT]
    assert 1 - at_least[0] == pytest.approx(expected[0], abs=6e-9)
    assert -np.diff(at_least)[:7] == pytest.approx(expected[1:], abs=6e-9)


# --- numerical accuracy -------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "expected"),
    [  # 40-digit 2F1; at a = 1 its limit; the last by adaptive quadrature
        ((0.5, 40, 1, 3), (0.39111075, 0.60928531, 1.57320875)),
        ((0.25, 30, 0.2, 0.3), (0.19574166, 0.93916928, 3.23576696)),
        ((0.3, 20, 0.4, 0.6), (0.23663929, None, None)),
    ],
)
def test_finite_where_the_closed_form_is_not(expectations, params, expected):
    cases = [(0, 0, 365, 365), (3, 200, 365, 180), (20, 300, 365, 90)]
    for (x, t_x, age, t), value in zip(cases, expected, strict=True):
        given_alive = expectations.expected_purchases(x, [age], [t], params)[0, 0]
        if value:
            got = alive(x, t_x, age, params) * given_alive
            assert got == pytest.approx(value, abs=6e-9)


@pytest.mark.parametrize(
    "params",
    [
        CDNOW,
        GROCERY,
        (0.8, 60, 0.6, 3),
        (0.5, 40, 1, 3),
        (0.5, 40, 1 + 1e-7, 3),
        (0.25, 30, 0.2, 0.3),
        (0.55, 13.4, 0.001, 0.039),
        (1, 30, 1e3, 3e3),
        (0.8, 60, 1e-4, 3),
        (20, 100, 0.5, 5),
    ],
)
def test_expectation_is_the_sum_of_its_counts(expectations, params):
    for x in (0, 1, 7, 60, 300):
        ages = np.array([x, 2.0 * x + 10, 730])
        got = expectations.expected_purchases(x, ages, [7, 90, 365, 730], params)
        for i, age in enumerate(ages):
            for j, t in enumerate([7, 90, 365, 730]):
                exact = counts(x, age, t, params).sum()
                assert got[i, j] == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("params", [CDNOW, (0.8, 60, 0.6, 3), GROCERY])
def test_expectation_equals_lifetimes(purchases, expectations, params):
    with purchases.contained():
        from lifetimes import BetaGeoFitter
    fitter = BetaGeoFitter()
    fitter.params_ = dict(zip(("r", "alpha", "a", "b"), params, strict=True))
    for x in (0, 1, 3, 20, 120, 300):
        t_x, age = x * 1.2, x * 1.5 + 5
        for t in (30, 90, 365, 730):
            predict = fitter.conditional_expected_number_of_purchases_up_to_time
            theirs = float(np.squeeze(predict(t, x, t_x, age)))
            ours = expectations.expected_purchases(x, [age], [t], params)[0, 0]
            assert alive(x, t_x, age, params) * ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("params", [*PARETO, (0.5, 40, 1, 30), (0.5, 40, 1e-4, 30)])
def test_expectation_and_counts_of_pareto_nbd(expectations, params):
    horizons = np.array([7.0, 90, 365, 730])
    for x in (0, 1, 7, 60, 300):
        ages = np.array([x, 2.0 * x + 10, 730])
        table = expectations.expectation_table(
            x, ages, horizons, "paretonbd", params, None, 0.1
        )
        for i, age in enumerate(ages):
            for j, horizon in enumerate(horizons):
                exact = counts(x, age, horizon, params, "paretonbd")
                assert table[i, j, 0] == pytest.approx(exact.sum(), rel=1e-10)
                at_least = table[i, j, 2 : 2 + expectations.TOP_COUNT]
                exact = np.append(exact, np.zeros(10))[: expectations.TOP_COUNT]
                assert at_least == pytest.approx(exact, rel=2e-4, abs=1e-8)


@pytest.mark.parametrize(
    ("purchase_model", "fitter", "every"),
    [
        ("mbgnbd", "ModifiedBetaGeoFitter", [CDNOW, GROCERY, (0.8, 60, 0.6, 3)]),
        ("paretonbd", "ParetoNBDFitter", PARETO),
    ],
)
def test_expectation_of_other_models_equals_lifetimes(
    purchases, expectations, purchase_model, fitter, every
):
    with purchases.contained():
        import lifetimes
    horizons = np.array([30.0, 90, 365, 730])
    names = purchases.MODELS[purchase_model].names
    for params in every:
        theirs = getattr(lifetimes, fitter)()
        theirs.params_ = pd.Series(params, names)
        for x in (0, 1, 3, 20, 120):
            t_x, age = x * 1.2, x * 1.5 + 5
            ours = expectations.expectation_table(
                x, np.array([age]), horizons, purchase_model, params, None, 0.1
            )
            predict = theirs.conditional_expected_number_of_purchases_up_to_time
            alive = np.squeeze(theirs.conditional_probability_alive(x, t_x, age))
            for t, expected in zip(horizons, ours[0, :, 0], strict=True):
                found = float(np.squeeze(predict(t, x, t_x, age)))
                assert alive * expected == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize(
    ("params", "at_any_time"),
    [
        *((params, False) for params in (CDNOW, GROCERY, (0.8, 60, 0.6, 3))),
        *((params, True) for params in PARETO),
    ],
)
def test_discounting_equals_short_steps(expectations, params, at_any_time):
    horizons = np.array([30.0, 90, 180, 365])
    for x, age in [(0, 0), (0, 400), (3, 90), (40, 60), (150, 700)]:

        def discounted(rate, x=x, age=age):
            return expectations.discounted_purchases(
                x, [age], horizons, params, rate, at_any_time=at_any_time
            )

        got, plain = discounted(0.1)
        edges = np.linspace(0, 365, 365 * 8 + 1)
        expected = expectations.expected_purchases(
            x, [age], edges, params, at_any_time
        )[0]
        middle = (edges[1:] + edges[:-1]) / 2
        steps = np.cumsum(np.diff(expected) * 1.1 ** (-middle / 365))
        ends = (horizons * 8).astype(int) - 1
        assert got[0] == pytest.approx(steps[ends], rel=1e-6)
        assert plain[0] == pytest.approx(expected[ends + 1], rel=1e-12)
        # nothing to discount at a rate of zero
        free, _ = discounted(0.0)
        assert free == pytest.approx(plain, rel=1e-12)


def test_one_pass_serves_many_horizons(expectations):
    many = np.array([30.0, 90, 180, 365])

    def table(horizons):
        return expectations.expectation_table(
            4, np.array([50.0, 300]), horizons, "bgnbd", CDNOW, (6.25, 3.74), 0.1
        )

    together = table(many)
    for i, horizon in enumerate(many):
        alone = table(np.array([horizon]))
        end = 2 + expectations.TOP_COUNT
        same = together[:, i : i + 1, :end]
        assert alone[..., :end] == pytest.approx(same, rel=1e-6)
        spend = together[:, i : i + 1, end:]
        assert alone[..., end:] == pytest.approx(spend, abs=5e-4)


# --- spend --------------------------------------------------------------------------


def spend_cdf(y, x, age, horizon, params, p, q, purchase_model, stage=0, k=1):
    """P(ln scaled spend <= y | alive, N >= 1), term by term."""
    at_least = counts(x, age, horizon, params, purchase_model, stage, k)
    mass = -np.diff(at_least, append=0) / at_least[0]
    m = np.arange(1, len(mass) + 1)
    keep = mass > 1e-15
    return mass[keep] @ betainc(p * m[keep, None], q + p * (x + 1), expit(y))


def exact_quantiles(z, *arguments, cdf=spend_cdf):
    low, high = np.full(len(z), -50.0), np.full(len(z), 15.0)
    for _ in range(45):
        middle = (low + high) / 2
        below = cdf(middle, *arguments) < expit(z)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


HISTORIES = [(0, 0, 365), (0, 500, 30), (2, 90, 90), (8, 200, 365), (30, 100, 180),
             (150, 700, 90)]  # fmt: skip
CASES = [
    (purchase_model, params, p, q, *history)
    for purchase_model, params, (p, q) in [
        ("bgnbd", CDNOW, SPENDING[CDNOW]),
        ("bgnbd", GROCERY, SPENDING[GROCERY]),
        ("mbgnbd", CDNOW, SPENDING[CDNOW]),
        ("paretonbd", PARETO[0], SPENDING[CDNOW]),
        ("paretonbd", PARETO[1], SPENDING[GROCERY]),
    ]
    for history in HISTORIES
]


@pytest.mark.parametrize(
    ("purchase_model", "params", "p", "q", "x", "age", "horizon"), CASES
)
def test_spend_quantiles_equal_bisection(
    expectations, purchase_model, params, p, q, x, age, horizon
):
    # ages beside it widen the grids, as in production
    ages = np.array([age, 730.0])
    horizons = np.array([30.0, 90, 180, 365])
    table = expectations.expectation_table(
        x, ages, horizons, purchase_model, params, (p, q), 0.1
    )
    nodes = table[0, list(horizons).index(horizon), 2 + expectations.TOP_COUNT :]
    z = expectations.FIRST_Z + expectations.STEP_Z * np.arange(expectations.LEVELS)
    some = slice(0, None, 6)
    history = (x, age, horizon, params, p, q, purchase_model)
    exact = exact_quantiles(z[some], *history)
    assert nodes[some] == pytest.approx(exact, abs=1e-3)
    # as SQL reads it: overall levels of a customer who is alive with p_alive
    reach = counts(x, age, horizon, params, purchase_model)[0]
    levels = [1 - (1 - level) / (p_alive * reach)
              for level in (0.1, 0.5, 0.9) for p_alive in (1, 0.7, 0.4)]  # fmt: skip
    asked = logit(np.array([v for v in levels if v > 0.003]))
    exact = exact_quantiles(asked, *history)
    assert np.interp(asked, z, nodes) == pytest.approx(exact, abs=4e-3)


def test_against_simulated_futures(expectations):
    """Counts and spend of 42 histories against 10^6 futures each."""
    rng = np.random.default_rng(20240630)
    futures = 1_000_000
    regimes = [
        ("bgnbd", CDNOW, 6.25, 3.74),
        ("bgnbd", GROCERY, 0.57, 3.7),
        ("bgnbd", (0.8, 60, 0.6, 3), 2, 2.5),
        ("mbgnbd", (0.52, 43, 0.9, 1.6), 6.25, 3.74),
        ("paretonbd", PARETO[0], 6.25, 3.74),
        ("paretonbd", PARETO[2], 2, 2.5),
    ]
    histories = [(0, 0, 365), (0, 600, 90), (1, 40, 180), (3, 200, 30), (10, 90, 365),
                 (25, 365, 90), (80, 300, 180)]  # fmt: skip
    end = 2 + expectations.TOP_COUNT
    z = expectations.FIRST_Z + expectations.STEP_Z * np.arange(expectations.LEVELS)
    for purchase_model, params, p, q in regimes:
        r, alpha, a, b = params
        for x, age, horizon in histories:
            row = expectations.expectation_table(
                x, np.array([age, 730.0]), np.array([30.0, horizon + 0.001]),
                purchase_model, params, (p, q), 0.1,
            )[0, 1]  # fmt: skip
            rate = rng.gamma(r + x, 1 / (alpha + age), futures)
            if purchase_model == "paretonbd":
                leaves = rng.exponential(size=futures)
                leaves /= rng.gamma(a, 1 / (b + age), futures)
                n = rng.poisson(rate * np.minimum(leaves, horizon))
            else:
                stayed = x + (purchase_model == "mbgnbd")
                chance = np.maximum(rng.beta(a, b + stayed, futures), 1e-12)
                n = np.minimum(rng.poisson(rate * horizon), rng.geometric(chance))
            error = n.std() / np.sqrt(futures)
            assert abs(row[0] - n.mean()) < 4.5 * error + 1e-5 * n.mean()
            for k in range(1, expectations.TOP_COUNT + 1):
                chance = row[1 + k]
                error = np.sqrt(chance * (1 - chance) / futures)
                assert abs(chance - (n >= k).mean()) < 4.5 * error + 1e-5
            bought = n[n > 0]
            scale = rng.gamma(q + p * (x + 1), size=len(bought))
            spend = np.sort(np.log(rng.gamma(p * bought) / scale))
            share = np.searchsorted(spend, row[end:]) / len(spend)
            error = np.sqrt(expit(z) * expit(-z) / len(spend))
            assert np.all(
                np.abs(share - expit(z)) < 4.5 * error + 5e-4 * expit(-abs(z))
            )


# --- regular buyers -----------------------------------------------------------------

REGULAR = [  # as groceryElog, and as Complete Journey; days
    ("mbgcnbd", (1.33, 19.7, 0.425, 0.79), 2),
    ("bgcnbd", (1.4, 3, 0.07, 99), 3),
    ("mbgcnbd", (0.5, 10, 0.3, 0.4), 4),
]


def stages(x, t_x, age, params, k):
    """P(j stages have passed since the last purchase | alive), j = 0 ... k - 1."""
    r, alpha, *_ = params
    j, shape = np.arange(k), r + k * x
    weights = np.exp(gammaln(shape + j) - gammaln(j + 1))
    weights = weights * ((age - t_x) / (alpha + age)) ** j
    return weights / weights.sum()


@pytest.mark.parametrize(("purchase_model", "params", "k"), REGULAR)
def test_every_stage_has_its_expectation_counts_and_spend(
    expectations, purchase_model, params, k
):
    horizons, some = np.array([7.0, 90, 365]), slice(0, None, 10)
    z = expectations.FIRST_Z + expectations.STEP_Z * np.arange(expectations.LEVELS)
    for x, stage in [(0, 0), (0, k - 1), (1, 1), (12, k - 1), (90, 0)]:
        ages = np.array([x + 1.0, 400])
        table = expectations.expectation_table(
            x, ages, horizons, purchase_model, params, (3, 4), 0.1, stage=stage, k=k
        )
        for (i, age), (j, horizon) in itertools.product(
            enumerate(ages), enumerate(horizons)
        ):
            case = (purchase_model, stage, k)
            exact = counts(x, age, horizon, params, *case)
            assert table[i, j, 0] == pytest.approx(exact.sum(), rel=1e-9, abs=1e-13)
            at_least = table[i, j, 2 : 2 + expectations.TOP_COUNT]
            exact = np.append(exact, np.zeros(10))[: expectations.TOP_COUNT]
            assert at_least == pytest.approx(exact, rel=1e-9, abs=1e-12)
            spend = table[i, j, 2 + expectations.TOP_COUNT :]
            exact = exact_quantiles(z[some], x, age, horizon, params, 3, 4, *case)
            assert spend[some] == pytest.approx(exact, abs=1e-3)


def test_ranges_are_read_at_the_nearest_quarter_of_the_mean_stage(expectations):
    """Against the mixture of stages: the error that the module's docstring states."""
    rng = np.random.default_rng(3)
    z, p, q = np.linspace(-3, 3, 7), 3, 4
    grid = expectations.FIRST_Z + expectations.STEP_Z * np.arange(expectations.LEVELS)
    errors = []
    for purchase_model, params, k in REGULAR:
        for _ in range(12):
            x, age = int(rng.integers(0, 12)), float(rng.integers(60, 700))
            t_x = age - min(age - x, rng.exponential(40)) if x else 0.0
            weight = stages(x, t_x, age, params, k)
            horizon = rng.choice([30.0, 90, 365])
            cases = [(purchase_model, stage, k) for stage in range(k)]
            weight *= [counts(x, age, horizon, params, *case)[0] for case in cases]

            def mixed(y, *history, cases=cases, weight=weight):
                parts = [spend_cdf(y, *history, *case) for case in cases]
                return weight / weight.sum() @ parts

            history = (x, age, horizon, params, p, q)
            exact = exact_quantiles(z, *history, cdf=mixed)
            pairs = pd.DataFrame({"frequency": [x], "age_days": [age]})
            table = expectations.expectation_tables(
                pairs.assign(stratum="all", cutoff_date=CUTOFF),
                parameter_row(purchase_model, params, k, p, q),
                pd.DataFrame(columns=["model_version", "cutoff_date"]),
                [horizon],
                0.1,
            )
            mean = stages(x, t_x, age, params, k) @ np.arange(k)
            row = table.set_index("stage_quarters").loc[int(np.floor(4 * mean + 0.5))]
            read = np.interp(z, grid, row[expectations.SPEND].astype(float))
            errors.append(np.abs(read - exact))
    assert np.median(errors) < 1e-2
    assert np.quantile(errors, 0.95) < 5e-2
    assert np.max(errors) < 0.15


def parameter_row(purchase_model, params, k, p, q):
    row = dict(zip(("r", "alpha", "a", "b"), params, strict=True))
    row |= {"model_version": "v", "stratum": "all", "cutoff_date": CUTOFF, "k": k}
    row |= {"purchase_model": purchase_model, "p": p, "q": q}
    return pd.DataFrame([row]).assign(s=np.nan, beta=np.nan)


def test_a_model_with_stages_has_rows_for_every_quarter_of_one(expectations):
    purchase_model, params, k = REGULAR[1]
    pairs = pd.DataFrame({"frequency": [4, 4, 0], "age_days": [300, 60, 90]})
    table = expectations.expectation_tables(
        pairs.assign(stratum="all", cutoff_date=CUTOFF),
        parameter_row(purchase_model, params, k, 3, 4),
        pd.DataFrame(columns=["model_version", "cutoff_date"]),
        [30, 365],
        0.1,
    )
    keys = [*expectations.KEYS, "horizon_days"]
    pd.testing.assert_frame_equal(table, table.sort_values(keys, ignore_index=True))
    assert len(table) == 3 * 9 * 2
    assert not table.duplicated(keys).any()
    mine = table.query("frequency == 4 and age_days == 60 and horizon_days == 365")
    mine = mine.set_index("stage_quarters")
    for stage in range(k):
        exact = counts(4, 60, 365, params, purchase_model, stage, k)
        assert mine.loc[4 * stage, "expected_purchases"] == pytest.approx(exact.sum())
        assert mine.loc[4 * stage, "probability_purchase"] == pytest.approx(exact[0])
    between = (
        0.75 * mine.loc[4, expectations.SPEND] + 0.25 * mine.loc[8, expectations.SPEND]
    )
    assert mine.loc[5, expectations.SPEND].tolist() == pytest.approx(between.tolist())


def test_a_shop_where_all_buy_all_the_time_has_an_expectation_table(expectations):
    """Purchases beyond any count that is tabulated."""
    table = expectations.expectation_table(
        0, np.array([0.0, 5]), np.array([30.0, 365]), "bgnbd", (0.8, 1e-3, 0.6, 3),
        (3, 4), 0.1,
    )  # fmt: skip
    assert np.isfinite(table).all()
    at_least = table[..., 2 : 2 + expectations.TOP_COUNT]
    assert ((at_least >= 0) & (at_least <= 1)).all()
    exact = counts(0, 5, 30, (0.8, 1e-3, 0.6, 3))[:10]
    assert at_least[1, 0, : len(exact)] == pytest.approx(exact, rel=1e-9)
    # one in 400 stays for thousands of purchases
    assert table[0, 0, -1] > 5


# --- the rest of the life -----------------------------------------------------------


def life(expectations, x, age, purchase_model, params, rate=0.1, days=None, **options):
    """Discounted purchases of the rest of the life, given alive."""
    params, process = expectations.purchase_process(purchase_model, params, **options)
    days = days or expectations.LIFETIME_DAYS
    found = expectations.lifetime_purchases(
        x, [age], params, rate, days=days, **process
    )
    return found[0][0]


def test_the_life_of_pareto_nbd_is_the_published_dert(expectations):
    """BTYD 2.4.3 at the parameters of Fader, Hardie & Lee (2005), RFM and CLV; weeks.

    0.0027 a week, continuous, are 15 % a year. x, T, P(alive), DERT.
    """
    params, rate = (0.553, 10.578, 0.606, 11.669), np.expm1(0.0027 * 365)
    for x, age, p_alive, published in [
        (2, 38.86, 0.86916756, 6.483774),
        (26, 31, 0.99791873, 86.056494),
        (0, 38.86, 0.29528660, 0.477136),
        (1, 38.86, 0.16800233, 0.762360),
        (7, 38.86, 0.74950141, 16.541141),
    ]:
        found = life(expectations, x, age, "paretonbd", params, rate, days=1e5)
        assert p_alive * found == pytest.approx(published, abs=6e-7)
        # a life of 50 years, in weeks, is long enough
        cut = life(expectations, x, age, "paretonbd", params, rate, days=52.18 * 50)
        assert cut == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize(
    ("purchase_model", "params", "k"),
    [
        ("bgnbd", CDNOW, 1),
        ("bgnbd", GROCERY, 1),
        ("bgnbd", (0.8, 60, 0.6, 3), 1),
        ("mbgnbd", CDNOW, 1),
        ("bgcnbd", (1.4, 30, 0.07, 9), 3),
        ("mbgcnbd", (1.33, 40, 0.425, 0.79), 2),
    ],
)
def test_a_life_is_the_integral_of_its_counts(expectations, purchase_model, params, k):
    """By parts on short pieces, over expectations summed term by term."""
    delta = np.log(1.1) / 365
    nodes, weights = np.polynomial.legendre.leggauss(6)
    edges = np.concatenate([[0], np.geomspace(3, expectations.LIFETIME_DAYS, 16)])
    half = np.diff(edges)[:, None] / 2
    days = ((edges[1:] + edges[:-1])[:, None] / 2 + half * nodes).ravel()
    for x, age, stage in [(0, 200, 0), (3, 300, k - 1)]:

        def expected(day, x=x, age=age, stage=stage):
            return counts(x, age, day, params, purchase_model, stage, k).sum()

        inside = [delta * np.exp(-delta * day) * expected(day) for day in days]
        exact = (half * weights).ravel() @ inside
        exact += np.exp(-delta * edges[-1]) * expected(edges[-1])
        found = life(expectations, x, age, purchase_model, params, stage=stage, k=k)
        assert found == pytest.approx(exact, rel=1e-6)


def test_a_life_of_one_stage_is_that_of_the_model_without_stages(expectations):
    for staged, plain in [("bgcnbd", "bgnbd"), ("mbgcnbd", "mbgnbd")]:
        one = life(expectations, 3, 200, staged, CDNOW, stage=0, k=1)
        assert one == pytest.approx(life(expectations, 3, 200, plain, CDNOW), rel=1e-12)
    gentle = (*CDNOW[:3], CDNOW[3] + 1)
    one = life(expectations, 3, 200, "mbgnbd", CDNOW)
    assert one == pytest.approx(life(expectations, 3, 200, "bgnbd", gentle), rel=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_a_life_ends_where_hardly_anybody_leaves(expectations, rate):
    """What a customer buys who never leaves, over 50 years, is the most."""
    years = expectations.LIFETIME_YEARS
    delta = np.log1p(rate)
    steady = (1 - np.exp(-delta * years)) / delta if rate else years
    for params in [(0.5, 40, 1e-4, 1e3), (0.5, 40, np.exp(-12), np.exp(12))]:
        row = expectations.lifetime(
            5, np.array([300.0]), "bgnbd", params, (3, 4), rate, np.asarray
        )
        most = 365 * steady * 5.5 / 340
        assert 0.995 * most < row[0, 0, 1] < most
        assert np.isfinite(row).all()


LIVES = [
    ("bgnbd", CDNOW, 1),
    ("bgnbd", GROCERY, 1),
    ("mbgnbd", (0.69, 69, 0.49, 0.87), 1),
    ("paretonbd", PARETO[0], 1),
    ("mbgcnbd", (1.33, 19.7, 0.425, 0.79), 2),
]


@pytest.mark.parametrize(("purchase_model", "params", "k"), LIVES)
def test_the_range_of_a_life_holds_simulated_ones(
    expectations, purchase_model, params, k
):
    rng = np.random.default_rng(5)
    lives, (p, q), rate = 3000, (3.3, 4.8), 0.1
    r, alpha, a, b = params
    days, delta = expectations.LIFETIME_DAYS, np.log1p(rate) / 365
    for x, age in [(0, 300), (2, 300), (20, 400)]:
        row = expectations.lifetime(
            x, np.array([age, 700.0]), purchase_model, params, (p, q), rate,
            np.asarray, 0, k,
        )[0, 0]  # fmt: skip
        arrivals = rng.gamma(r + k * x, 1 / (alpha + age), lives)
        ends, most = np.full(lives, days), np.full(lives, np.inf)
        if purchase_model == "paretonbd":
            leaving = rng.gamma(a, 1 / (b + age), lives)
            ends = np.minimum(rng.exponential(size=lives) / leaving, days)
        else:
            stayed = x + purchase_model.startswith("m")
            most = rng.geometric(np.maximum(rng.beta(a, b + stayed, lives), 1e-12))
        spend = np.zeros(lives)
        scale = rng.gamma(q + p * (x + 1), size=lives)
        for i in range(lives):
            when = np.sort(rng.uniform(0, ends[i], rng.poisson(arrivals[i] * ends[i])))
            when = when[k - 1 :: k][: int(min(most[i], 1e6))]
            spend[i] = rng.gamma(p, 1 / scale[i], len(when)) @ np.exp(-delta * when)
        mean = row[1] * p / (p * (x + 1) + q - 1)
        assert abs(spend.mean() - mean) < 4.5 * spend.std() / np.sqrt(lives)
        ever = (spend > 0).mean()
        assert abs(ever - row[2]) < 4.5 * np.sqrt(ever * (1 - ever) / lives) + 1e-3
        z = expectations.FIRST_Z + expectations.STEP_Z * np.arange(expectations.LEVELS)
        for level, error in [(0.1, 0.08), (0.5, 0.1), (0.9, 0.04)]:
            given = 1 - (1 - level) / row[2]
            read = 0.0
            if given > 0:
                read = np.interp(logit(given), z, row[2 + expectations.TOP_COUNT :])
                read = np.exp(read) * row[1] / row[0]
            assert read == 0 or abs((spend <= read).mean() - level) < error


# --- the table ----------------------------------------------------------------------


@pytest.fixture
def inputs():
    """Two strata, only one with a value model; the other has three purchase models."""
    pairs = [("FR", 0, 40), ("DE", 12, 300), ("DE", 0, 0), ("DE", 0, 400), ("DE", 1, 9)]
    pairs = pd.DataFrame(pairs, columns=["stratum", "frequency", "age_days"])
    parameters = pd.DataFrame(
        [
            ("bgnbd", "DE", *CDNOW, None, None, 6.25, 3.74),
            ("mbgnbd", "DE", *CDNOW, None, None, 6.25, 3.74),
            ("paretonbd", "DE", *PARETO[0][:2], None, None, *PARETO[0][2:], 6.25, 3.74),
            ("bgnbd", "FR", *GROCERY, *[None] * 4),
        ],
        columns=[*("model_version", "stratum", "r", "alpha", "a", "b", "s", "beta"),
                 *("p", "q")],
    )  # fmt: skip
    parameters["purchase_model"] = parameters["model_version"]
    parameters["k"] = 1
    parameters["cutoff_date"] = CUTOFF
    pairs["cutoff_date"] = pd.Timestamp(CUTOFF)
    season = pd.DataFrame(
        columns=["model_version", "cutoff_date", "days_ago", "time_ago"]
    )
    return {
        "int_expectations__pairs": pairs,
        "int_parameters": parameters,
        "int_season": season.astype({"days_ago": "int64", "time_ago": "float64"}),
    }


def test_model_gives_the_documented_table(expectations, inputs, fake_dbt, stored):
    frame = expectations.model(fake_dbt(inputs, horizons=[365, 30]), None)
    keys = [*expectations.KEYS, "horizon_days"]
    assert list(frame.columns) == [*keys, *expectations.MEASURES]
    assert frame["horizon_days"].tolist() == [30, 365, 1095, 18250] * 13
    pd.testing.assert_frame_equal(frame, frame.sort_values(keys, ignore_index=True))
    types = stored(frame)
    assert types["cutoff_date"] == "DATE"
    assert {types["model_version"], types["stratum"]} == {"VARCHAR"}
    assert {types[c] for c in ("frequency", "age_days", "horizon_days")} == {"BIGINT"}
    assert {types[c] for c in expectations.MEASURES} == {"DOUBLE"}
    # no value model, no spend
    assert frame.loc[frame["stratum"] == "FR", expectations.SPEND].isna().all(axis=None)
    assert (
        frame.loc[frame["stratum"] == "DE", expectations.SPEND].notna().all(axis=None)
    )
    none = {n: f.iloc[:0] if "pairs" in n else f for n, f in inputs.items()}
    empty = expectations.model(fake_dbt(none), None)
    assert empty.empty
    assert stored(empty) == types


def test_only_the_last_cutoff_is_looked_at_beyond_the_horizons(expectations, inputs):
    for name in ("int_expectations__pairs", "int_parameters"):
        earlier = inputs[name].assign(cutoff_date=CUTOFF - dt.timedelta(91))
        inputs[name] = pd.concat([inputs[name], earlier], ignore_index=True)
    table = expectations.beyond(*inputs.values(), [30, 365], 0.1)
    assert set(table["cutoff_date"]) == {CUTOFF}
    near = expectations.expectation_tables(*inputs.values(), [365], 0.1)
    near = near[near["cutoff_date"] == CUTOFF]
    every = pd.concat([near, table]).sort_values([*expectations.KEYS, "horizon_days"])
    for measure in ("expected_purchases", "discounted_purchases"):
        growth = every.groupby([*expectations.KEYS])[measure].diff().dropna()
        assert (growth > 0).all()
    # a horizon of that length has its row already
    again = expectations.beyond(*inputs.values(), [30, 1095], 0.1)
    assert set(again["horizon_days"]) == {18250}


def fitted(purchase_model, params, k=1):
    """A parameter set of the only version and stratum."""
    names = ["r", "alpha", "a", "b"]
    if purchase_model == "paretonbd":
        names[2:] = ["s", "beta"]
    empty = dict.fromkeys(("r", "alpha", "a", "b", "s", "beta"))
    row = {**empty, **dict(zip(names, params, strict=True))}
    row |= {"purchase_model": purchase_model, "k": k, "p": 6.0, "q": 4.0}
    key = {"model_version": "v", "stratum": "all", "cutoff_date": CUTOFF}
    return pd.DataFrame([key | row])


def of_ages(pairs):
    rows = [("all", CUTOFF, x, age) for x, age in pairs]
    return pd.DataFrame(
        rows, columns=["stratum", "cutoff_date", "frequency", "age_days"]
    )


@pytest.mark.parametrize(
    ("purchase_model", "params", "k"),
    [
        ("bgnbd", CDNOW, 1),
        ("mbgnbd", (0.9, 400, 0.1, 5), 1),
        ("mbgcnbd", (0.5, 10, 0.5, 2), 2),
        ("paretonbd", (0.55, 300, 0.6, 20), 1),
    ],
)
def test_between_the_ages_that_are_computed_all_is_smooth(
    expectations, inputs, monkeypatch, purchase_model, params, k
):
    pairs = of_ages((x, age) for x in (0, 8) for age in range(x, 731, 3))
    asked = pairs, fitted(purchase_model, params, k), inputs["int_season"], [365], 0.1
    found = expectations.beyond(*asked)
    monkeypatch.setattr(expectations, "over_ages", lambda table, age, _: table(age))
    exact = expectations.beyond(*asked)
    keys = [*expectations.KEYS, "horizon_days"]
    pd.testing.assert_frame_equal(found[keys], exact[keys])
    found, exact = found[expectations.MEASURES], exact[expectations.MEASURES]
    assert not found.equals(exact)
    np.testing.assert_allclose(found.iloc[:, :3], exact.iloc[:, :3], rtol=2e-6)
    # Quantiles are read off grids that differ.
    apart = np.abs(found[expectations.SPEND] - exact[expectations.SPEND]).to_numpy()
    assert apart.max() < 3e-4
    assert np.median(apart) < 2e-6


def test_who_leaves_soon_has_a_whole_distribution_beyond_the_horizons(
    expectations, inputs
):
    """Most leave within weeks, and a few stay for years."""
    parameters = fitted("paretonbd", (0.55, 300, 0.6, 20))
    asked = of_ages([(0, 1)]), parameters, inputs["int_season"], [30, 365], 0.1
    found = expectations.beyond(*asked).set_index("horizon_days").loc[1095]
    rng = np.random.default_rng(5)
    rate = rng.gamma(0.55, 1 / 301, 2_000_000)
    stays = rng.exponential(1 / rng.gamma(0.6, 1 / 21, len(rate)))
    bought = rng.poisson(rate * np.minimum(stays, 1095))
    bought = bought[bought > 0]
    spent = np.log(rng.gamma(6 * bought) / rng.gamma(10, 1, len(bought)))
    places = np.array([30, 40, 45, 50])
    levels = expit(-6 + 0.2 * places)
    np.testing.assert_allclose(
        [found[expectations.SPEND[place]] for place in places],
        np.quantile(spent, levels),
        atol=0.03,
    )


def test_beyond_the_calendar_of_a_season_days_have_their_mean_length(
    expectations, inputs
):
    days = np.arange(-400, 401)
    season = pd.DataFrame(
        {
            "model_version": "bgnbd",
            "cutoff_date": CUTOFF,
            "days_ago": days,
            "time_ago": np.where(days < 0, 0.5, 1.0) * days,
        }
    )
    _, ahead = expectations.warped_times(season)["bgnbd", CUTOFF]
    found = ahead(np.array([100.0, 400, 1000]))
    assert found.tolist() == [50, 200, 800]


def test_every_model_version_has_its_own_parameters(expectations, inputs):
    table = expectations.expectation_tables(*inputs.values(), [90], 0.1)
    mine = table[(table["stratum"] == "DE") & (table["frequency"] == 12)]
    found = mine.set_index("model_version")["expected_purchases"]
    fitted = {"bgnbd": CDNOW, "mbgnbd": CDNOW, "paretonbd": PARETO[0]}
    for version, params in fitted.items():
        expected = counts(12, 300, 90, params, version).sum()
        assert found[version] == pytest.approx(expected, rel=1e-9)


def test_a_season_stretches_age_and_horizon_but_not_the_discount(expectations, inputs):
    """Time runs twice as fast, and stands still from the 45th day ahead on."""
    days = np.arange(-90, 401)
    inputs["int_season"] = pd.DataFrame(
        {
            "model_version": "bgnbd",
            "cutoff_date": CUTOFF,
            "days_ago": days,
            "time_ago": np.maximum(2.0 * days, -90.0),
        }
    )
    table = expectations.expectation_tables(*inputs.values(), [45, 90], 0.1)
    mine = table[(table["stratum"] == "DE") & (table["frequency"] == 12)]
    mine = mine.set_index(["model_version", "horizon_days"])
    early, late = mine.loc[("bgnbd", 45)], mine.loc[("bgnbd", 90)]
    expected = counts(12, 600, 90, CDNOW, "bgnbd").sum()
    assert early["expected_purchases"] == pytest.approx(expected, rel=1e-9)
    assert late["expected_purchases"] == pytest.approx(expected, rel=1e-9)
    for each in ("probability_purchase", "discounted_purchases", "ln_spend_q30"):
        assert late[each] == pytest.approx(early[each], rel=5e-4)
    # discounted by calendar days: about 22 of them on average
    discount = early["discounted_purchases"] / early["expected_purchases"]
    assert discount == pytest.approx(1.1 ** (-22.5 / 365), abs=1e-4)
    # whoever has no season goes by the calendar
    expected = counts(12, 300, 90, CDNOW, "mbgnbd").sum()
    found = mine.loc[("mbgnbd", 90), "expected_purchases"]
    assert found == pytest.approx(expected, rel=1e-9)


def test_what_must_always_be_true(expectations, inputs):
    table = expectations.expectation_tables(*inputs.values(), [30, 90, 365], 0.1)
    chances = table[[c for c in table if c.startswith("probability")]].to_numpy()
    assert ((chances >= 0) & (chances <= 1)).all()
    assert (np.diff(chances) <= 0).all()
    slack = np.where(table["model_version"] == "paretonbd", 1e-8, 1e-12)
    assert (table["expected_purchases"] >= chances.sum(axis=1) - slack).all()
    assert (table["discounted_purchases"] < table["expected_purchases"]).all()
    spend = table.loc[table["stratum"] == "DE", expectations.SPEND].to_numpy()
    assert (np.diff(spend) > 0).all()
    keys = ["model_version", "stratum", "frequency", "age_days"]
    growth = table.groupby(keys)["expected_purchases"].diff().dropna()
    assert (growth > 0).all()


def test_without_any_value_model(expectations, inputs, fake_dbt):
    inputs["int_parameters"] = inputs["int_parameters"].assign(p=np.nan, q=np.nan)
    frame = expectations.model(fake_dbt(inputs), None)
    assert len(frame) == 13 * 6
    assert frame[expectations.SPEND].isna().all(axis=None)
    assert frame["expected_purchases"].notna().all()


def test_a_shop_of_one_price_has_an_expectation_table_too(expectations):
    """One purchase brings p / (q + p n - 1) of gamma + n z, give or take 15 %."""
    p = q = 162_754.0  # the fit of 10.00 on every day
    age = np.array([30.0, 300.0])
    found = expectations.expectation_table(
        0, age, [30.0, 365.0], "bgnbd", (0.3, 40.0, 0.5, 2.0), (p, q), 0.1
    )
    spend = found[:, 0, expectations.MEASURES.index("ln_spend_q00") :]
    level = expit(
        expectations.FIRST_Z + expectations.STEP_Z * np.arange(expectations.LEVELS)
    )
    once = (
        1
        - found[:, 0, expectations.MEASURES.index("probability_at_least_2")]
        / (found[:, 0, expectations.MEASURES.index("probability_purchase")])
    )
    for row, share in zip(spend, once, strict=True):
        inside = (level > 0.01) & (level < share - 0.01)
        assert inside.sum() > 10
        assert np.abs(row[inside] - np.log(p / (q + p - 1))).max() < 0.15
