"""Expectations given that a customer is alive: counts, discounting and spend.

Gamma-Gamma (Fader & Hardie 2013) on top of a purchase model. Given that they are alive
at the cutoff, the future of a customer depends on their repeat purchase days x and
their age T only, and their spend S on their own money only by the factor gamma + n z,
with n = x + 1 purchase days of mean value z. P(alive) and that factor are left to SQL;
everything else is tabulated here, in days:

* count, BG/NBD (Fader, Hardie & Lee 2005): N(t) arrivals are
  NegBin(r + x, (alpha + T) / (alpha + T + t)), each survived with a probability of its
  own, so that P(N >= k | alive) =
  B(a, b + x + k - 1) / B(a, b + x) * P(NegBin >= k);
* count, MBG/NBD (Batislam, Denizel & Filiztekin 2007): a customer may leave after their
  first purchase too. Who is alive after x repeats has stayed x + 1 times, which has the
  likelihood (1 - p)^(x + 1) lambda^x exp(-lambda T), so that by Bayes' rule
  p ~ Beta(a, b + x + 1) and lambda ~ Gamma(r + x, alpha + T): BG/NBD with b + 1;
* count, Pareto/NBD (Schmittlein, Morrison & Colombo 1987): the likelihood of an alive
  history is lambda^x exp(-(lambda + mu) T), so that lambda ~ Gamma(r + x, alpha + T)
  and mu ~ Gamma(s, beta + T), independent. They leave after u more days with density
  s (beta + T)^s / (beta + T + u)^(s + 1), and N(t) is NegBin over min(u, t): a
  quadrature over u;
* count, BG/CNBD-k and MBG/CNBD-k (Reutterer, Platzer & Schroeder 2021): every k-th
  arrival is a purchase. If j of the k stages have passed since the last one, lambda ~
  Gamma(r + k x + j, alpha + T), and the m-th purchase needs m k - j of
  NegBin(r + k x + j, ...) arrivals. How likely each j is follows from recency, and is
  left to SQL;
* count, BG/BB (Fader, Hardie & Shang 2010), of a monthly log: days become months, n of
  age and n* ahead. Given alive, p ~ Beta(alpha + x, beta + n - x) and theta ~
  Beta(gamma, delta + n). Of n* months they stay i with the probabilities of theta, and
  are then active in a beta-binomial number of i months. Their months are discounted
  from the middle;
* spend of k purchases: S_k / (gamma + n z) ~ BetaPrime(p k, q + p n), so that
  P(S_k <= s (gamma + n z)) = I_u(p k, q + p n) with u = s / (1 + s).

Discounting is continuous: the integral of (1 + d)^(-t / 365) dE[N(t)].

Beyond the horizons, for the last cutoff only: `FURTHER_DAYS`, and the rest of the
customer's life, which ends after `LIFETIME_YEARS` at the latest: a row whose horizon is
that many years. Its expectations are exact, to the end of the row's horizon. Where
there are many ages, what lies beyond the horizons is computed at some and is a cubic
spline in ln(alpha + T) between them: relative error of an expectation below 2e-6. Far
purchases are uncertain, and count for little: its distribution of spend is that of a
shorter time, scaled to the mean of the life given a purchase. That time is
`LIFETIME_SPREAD` times the one in which as many purchases are expected undiscounted as
in the whole life discounted; P(at least two), and so on, are of it, too. Of simulated
lives 89 to 92 % lie below the 90 % quantile, 47 to 51 % below the median and 7 to 11 %
below the 10 % quantile; of one-time buyers up to 58 and 16 %.

Grain: one row per model version, stratum, cutoff date, frequency, age, stage and
horizon; all of it given alive at the cutoff. Stages are counted in quarters, up to
4 (k - 1), and are 0 alone where a purchase is a single arrival; between two whole
stages everything is interpolated. `ln_spend_qNN` is the log of a quantile of
S / (gamma + n z) given alive and N >= 1, at the level 1 / (1 + exp(-z)),
z = -6 + 0.2 NN, NN = 00 ... 60; between two levels interpolate linearly in z, beyond
the ends extrapolate (both tails of ln S are straight in z).

Relative error of a quantile so interpolated, over customers of all kinds: median 2e-4,
99 % below 2e-3; of the tabulated quantiles themselves: 99 % below 6e-4. A quantile of
the mixture of stages, read at the nearest quarter of the mean stage: median 6e-3, 95 %
below 4e-2, 99 % below 8e-2 (k = 2 to 4); expectations and probabilities are exact.
"""

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline
from scipy.linalg import eigh_tridiagonal
from scipy.special import betainc, betaincinv, expit, exprel, gammaln, logit

LEVELS, FIRST_Z, STEP_Z = 61, -6.0, 0.2
TOP_COUNT = 10
FURTHER_DAYS = 1095
LIFETIME_YEARS = 50  # at 10 % a year what comes later is below 1 % of a steady stream
LIFETIME_DAYS = 365 * LIFETIME_YEARS
LIFETIME_SPREAD = 1.5
KEYS = {
    "model_version": "str",
    "stratum": "str",
    "cutoff_date": "date",
    "frequency": "int64",
    "age_days": "int64",
    "stage_quarters": "int64",
}
PAIR = list(KEYS)[:-1]
SPEND = [f"ln_spend_q{j:02d}" for j in range(LEVELS)]
MEASURES = [
    "expected_purchases",
    "discounted_purchases",
    "probability_purchase",
    *(f"probability_at_least_{k}" for k in range(2, TOP_COUNT + 1)),
    *SPEND,
]

DROPOUT_NODES = 48  # quadrature over the dropout probability
TIME_NODES = 5  # quadrature over time, between two horizons
LIFETIME_HALVINGS = 18  # of its length, to find a time in it
LIFETIME_STEPS = 24  # pieces of that quadrature over a life, each longer than the last
LEAVING_NODES = 12  # quadrature over the day of leaving, between two horizons
LEAVING_STEPS = 12  # pieces of that quadrature over a life
AGE_STEP, LEAST_AGES = 0.08, 16  # of ages computed, in ln(alpha + T)
BLAS_ONE_THREAD = 262_144  # multiplications below which OpenBLAS uses one thread
MOST_COUNT = 10_000  # of arrivals; what lies beyond counts as that many
COUNT_TAIL = 1e-13  # purchase counts beyond this probability are left out
P_MOST = 1_000.0  # above it values hardly differ: 3 % around a customer's mean
FIRST_COUNTS, MORE_COUNTS = 40, 160  # counts told apart in a life; exact in horizons
MONTH = 365.25 / 12  # days
SPEND_GRID = 0.3  # steps of the grids of spend and of counts, in units of the
COUNT_GRID = 0.7  # standard deviation of ln S_k


def beta_quadrature(a, b, nodes):
    """Gauss quadrature for the density of Beta(a, b).

    Golub & Welsch (1969) on the Jacobi polynomials of [0, 1]; the weights sum to one,
    so that huge a and b do not overflow.

    Returns:
        Nodes and weights, each of shape (nodes,).
    """
    # Jacobi exponents on [-1, 1]: (1 - y)^c (1 + y)^d with p = (1 + y) / 2
    c, d = b - 1, a - 1
    k = np.arange(1, nodes)
    s = 2 * k + c + d
    centre = np.concatenate([[(d - c) / (c + d + 2)], (d * d - c * c) / (s * (s + 2))])
    # for k = 1 the factor k + c + d cancels against s - 1
    ratio = np.concatenate([[1.0], (k[1:] + c + d) / (s[1:] - 1)])
    off = np.sqrt(4 * k * (k + c) * (k + d) * ratio / (s * s * (s + 1)))
    points, vectors = eigh_tridiagonal((1 + centre) / 2, off / 2)
    return np.maximum(points, 1e-300), vectors[0] ** 2


def share_gone(p, shape, stretch, stage=0, k=1):
    """Expected 1 - (1 - p)^m after n arrivals, m = floor((n + stage) / k) purchases.

    n ~ NegBin(shape, 1 / (1 + stretch)), whose generating function is known: powers of
    n, weighted by roots of unity, make the floor. With k = 1 it is
    1 - (1 + p stretch)^-shape. Absolute error 1e-14.
    """
    ln_q, turns = np.log1p(-np.minimum(p, 1 - 1e-12)) / k, np.arange(k)
    lifts = np.expm1(-np.multiply.outer(turns, ln_q))
    gone = np.log1p(lifts.mean(axis=0)) + stage * ln_q
    gone = -np.expm1(gone - shape * np.log1p(-stretch * np.expm1(ln_q)))
    for turn in 2j * np.pi / k * turns[1:]:
        root = np.exp(ln_q + turn)
        weight = np.exp(-turn * turns) @ lifts / k * root**stage
        gone -= (weight * (1 + stretch * (1 - root)) ** -shape).real
    return gone


def expected_purchases(x, age, times, params, at_any_time=False, stage=0, k=1):
    """E[N(t) | alive]: purchase days expected in the next t days.

    Where customers leave after a purchase, with probability p, it is the mean over
    p ~ Beta(a, b + x) of the share who have left by then, over p: smooth, without
    the singularity of the closed form at a = 1. Where they leave at any time it is the
    expected rate times the expected time alive, without that at s = 1.

    Args:
        x: repeat purchase days so far, a number.
        age: days since the first purchase, shape (m,).
        times: days ahead, shape (h,).
        params: (r, alpha, a, b) or (r, alpha, s, beta); alpha and beta in days.
        at_any_time: whether customers leave at any time, as in Pareto/NBD.
        stage: stages that have passed since the last purchase.
        k: stages of a gap.

    Returns:
        Array of shape (m, h).
    """
    r, alpha, a, b = params
    age, times = np.asarray(age, float)[:, None], np.asarray(times, float)
    if at_any_time:
        stretch = np.log1p(times / (b + age))
        alive = (b + age) * stretch * exprel((1 - a) * stretch)
        return (r + x) / (alpha + age) * alive
    p, weight = beta_quadrature(a, b + x, DROPOUT_NODES)
    stretch = (times / (alpha + age))[..., None]
    gone = share_gone(p, r + k * x + stage, stretch, stage, k)
    return np.einsum("mhk,k->mh", gone, weight / p)


def discounted_purchases(
    x, age, horizons, params, annual_rate, ahead=np.asarray, **options
):
    """Discounted purchase days of the next h days, given alive, and plain ones.

    By parts: v(h) E(h) + delta * integral of v E, with v(t) = exp(-delta t) and
    delta = ln(1 + annual_rate) / 365.

    Args:
        x: repeat purchase days so far, a number.
        age: days since the first purchase, shape (m,).
        horizons: days ahead, shape (h,), increasing.
        params: as in `expected_purchases`.
        annual_rate: for example 0.10.
        ahead: function of days ahead -> time ahead, as the parameters measure it.
        options: at_any_time, stage and k of `expected_purchases`.

    Returns:
        Discounted and undiscounted expectation, each of shape (m, h).
    """
    delta = np.log1p(annual_rate) / 365
    horizons = np.asarray(horizons, float)
    nodes, weights = np.polynomial.legendre.leggauss(TIME_NODES)
    width = np.diff(horizons, prepend=0.0)[:, None]
    inner = horizons[:, None] + width * (nodes - 1) / 2
    times = np.concatenate([horizons, inner.ravel()])
    expected = expected_purchases(x, age, ahead(times), params, **options)
    present = expected * np.exp(-delta * times)
    plain, inside = expected[:, : len(horizons)], present[:, len(horizons) :]
    pieces = (inside * (width * weights / 2).ravel()).reshape(-1, *inner.shape).sum(2)
    return present[:, : len(horizons)] + delta * pieces.cumsum(axis=1), plain


def largest_count(size, chance, tail):
    """A count k with P(NegBin(size, chance) >= k) < tail (Chernoff's bound).

    At most `MOST_COUNT`: more purchases than days are of no interest.
    """
    k = np.geomspace(1, MOST_COUNT, 200)
    bound = size * np.log((size + k) * chance / size) + k * np.log(
        (size + k) * (1 - chance) / k
    )
    beyond = (k > size * (1 - chance) / chance) & (bound < np.log(tail))
    beyond[-1] = True
    return int(np.ceil(k[np.argmax(beyond)]))


def survival(x, counts, a, b):
    """P(alive to make a k-th further purchase), k = 1 ... counts, shape (counts,)."""
    j = np.arange(counts - 1)
    return np.concatenate([[1.0], np.cumprod((b + x + j) / (a + b + x + j))])


def arrivals(x, age, horizon, counts, r, alpha):
    """P(n arrivals in the horizon), dropout aside, n = 0 ... counts: NegBin.

    Returns:
        Array of shape (len(age), counts + 1).
    """
    n = np.arange(counts + 1)
    start = np.asarray(age, float)[:, None] + alpha
    log_p = gammaln(r + x + n) - gammaln(r + x) - gammaln(n + 1)
    log_p = log_p + n * np.log(horizon / (start + horizon))
    return np.exp(log_p - (r + x) * np.log1p(horizon / start))


def arrivals_while_alive(x, age, horizons, counts, params):
    """P(n purchases in each horizon), n = 0 ... counts: Pareto/NBD, given alive.

    They leave within a horizon, after u days, or are alive at its end. The density of u
    is integrated by Gauss-Legendre between two horizons.

    Args:
        x: repeat purchase days so far, a number.
        age: days since the first purchase, shape (m,).
        horizons: days ahead, increasing.
        counts: largest count for each horizon, not decreasing.
        params: (r, alpha, s, beta), alpha and beta in days.

    Yields:
        Array of shape (m, counts + 1), for each horizon.
    """
    r, alpha, s, beta = params
    start = np.asarray(age, float)[:, None] + beta
    nodes, weights = np.polynomial.legendre.leggauss(LEAVING_NODES)
    gone, before = np.zeros((len(start), counts[-1] + 1)), 0.0
    for horizon, count in zip(horizons, counts, strict=True):
        width = (horizon - before) / 2
        for node, weight in zip(nodes, weights, strict=True):
            day = before + width * (1 + node)
            left = width * weight * s / (start + day)
            left = left * np.exp(-s * np.log1p(day / start))
            gone[:, : count + 1] += left * arrivals(x, age, day, count, r, alpha)
        before = horizon
        stays = np.exp(-s * np.log1p(horizon / start))
        here = arrivals(x, age, horizon, count, r, alpha)
        yield gone[:, : count + 1] + stays * here


def spend_table(x, p, q, counts, top, at=None):
    """P(ln(S_k / (gamma + n z)) <= y) on a grid of y, for k = 1 ... counts, or `at`.

    The grid follows the spread of ln S_k, about sqrt(1 / (p k) + 1 / (q + p n)); so do
    the counts that are computed, the others are splined.

    Args:
        x: repeat purchase days so far, a number.
        p: shape of Gamma-Gamma.
        q: shape of Gamma-Gamma.
        counts: largest k of the table.
        top: the k beyond which too little probability lies to move a quantile.
        at: some of these k, increasing; default: all.

    Returns:
        The grid, shape (g,), and the table, shape (len(at), g).
    """
    second = q + p * (x + 1)
    edge = expit(FIRST_Z)
    low = logit(np.maximum(betaincinv(p, second, edge / 2), 1e-300))
    high = logit(betaincinv(p * top, second, 1 - edge / 2))
    fine = np.linspace(low, high, 500)
    k = np.maximum(second * np.exp(fine) / p, 1)
    spread = 1 / (p * k) + 1 / second
    spread = np.sqrt(spread + np.where((k > 10) & (spread * k**2 > 1), 1 / k, 0))
    steps = np.cumsum((fine[1] - fine[0]) / (SPEND_GRID * spread))
    grid = np.interp(np.linspace(steps[0], steps[-1], int(steps[-1]) + 2), steps, fine)

    computed = list(range(1, min(counts, 16) + 1))
    while computed[-1] < counts:
        k = computed[-1]
        step = COUNT_GRID * k * np.sqrt(1 / (p * k) + 1 / second)
        computed.append(min(k + max(1, int(step)), counts))
    table = betainc(p * np.array(computed)[:, None], second, expit(grid))
    at = np.arange(1, counts + 1) if at is None else at
    if 3 < len(computed) < counts:
        table = CubicSpline(np.log(computed), table)(np.log(at))
    return grid, table[at - 1] if len(table) > len(at) else table


def few_counts(counts):
    """Counts from 0 to `counts`, all of the first, then ever fewer."""
    steps = np.geomspace(FIRST_COUNTS, max(counts, FIRST_COUNTS + 1), MORE_COUNTS)
    every = np.concatenate([np.arange(FIRST_COUNTS), steps.astype(int)])
    return np.unique(np.append(every[every < counts], counts))


def fold(chance, purchases, at):
    """P(n) of every n as weights of the counts `at`, between which all is linear."""
    left = np.minimum(np.searchsorted(at, purchases, "right") - 1, len(at) - 2)
    share = (purchases - at[left]) / np.diff(at)[left]
    starts = np.searchsorted(left, np.arange(left[-1] + 1))
    folded = np.zeros((len(chance), len(at)))
    folded[:, : left[-1] + 1] = np.add.reduceat(chance * (1 - share), starts, axis=1)
    folded[:, 1 : left[-1] + 2] += np.add.reduceat(chance * share, starts, axis=1)
    return folded


def invert(grid, cdf):
    """Points where the logit of a distribution function passes the levels.

    Inverse interpolation by the cubic through four neighbours.

    Args:
        grid: increasing, shape (g,).
        cdf: one distribution function per row, shape (m, g).

    Returns:
        Array of shape (m, LEVELS), increasing along each row.
    """
    z = logit(np.clip(cdf, 1e-12, 1 - 1e-12))
    z = np.maximum.accumulate(z, axis=1)
    z += 1e-12 * np.arange(len(grid))  # no ties
    levels = FIRST_Z + STEP_Z * np.arange(LEVELS)
    # one search for all rows: they are laid end to end, far apart
    shift = 100.0 * np.arange(len(z))[:, None]
    place = np.searchsorted((z + shift).ravel(), (levels + shift).ravel())
    place = place.reshape(len(z), LEVELS) - len(grid) * np.arange(len(z))[:, None]
    right = np.clip(place, 1, len(grid) - 1)
    first = np.clip(right - 2, 0, len(grid) - 4)
    rows = np.arange(len(z))[:, None]
    zs = [z[rows, first + i] for i in range(4)]
    ys = [grid[first + i] for i in range(4)]
    for order in range(1, 4):  # Neville's scheme
        for i in range(4 - order):
            t = (levels - zs[i]) / (zs[i + order] - zs[i])
            ys[i] = ys[i] + t * (ys[i + 1] - ys[i])
    inside = np.clip(ys[0], grid[right - 1], grid[right])
    return np.maximum.accumulate(inside, axis=1)


def product(left, right):
    """Matrix product in pieces small enough for one thread.

    With two threads of BLAS on cores that others use as well, the whole product takes
    up to ten times as long.
    """
    rows = max(1, BLAS_ONE_THREAD // right.size)
    pieces = -(-len(left) // rows)
    padded = np.zeros((pieces * rows, left.shape[1]))
    padded[: len(left)] = left
    out = padded.reshape(pieces, rows, -1) @ right
    return out.reshape(pieces * rows, -1)[: len(left)]


def expectation_table(
    x,
    age,
    horizons,
    purchase_model,
    params,
    gamma_gamma,
    annual_rate,
    ahead=np.asarray,
    stage=0,
    k=1,
    coarse=False,
):
    """All measures of customers with x repeat purchase days, given alive.

    Args:
        x: repeat purchase days so far, a number.
        age: time since the first purchase, shape (m,).
        horizons: days ahead, shape (h,), increasing.
        purchase_model: bgnbd, mbgnbd, paretonbd, bgcnbd, mbgcnbd or bgbb.
        params: (r, alpha, a, b), of paretonbd (r, alpha, s, beta), of bgbb (alpha,
            beta, a, b); times in days.
        gamma_gamma: (p, q), or None when value is not modelled.
        annual_rate: discount rate a year.
        ahead: as in `discounted_purchases`.
        stage: as in `expected_purchases`.
        k: as in `expected_purchases`.
        coarse: as in `spread`.

    Returns:
        Array of shape (m, h, len(MEASURES)); the spend is NaN without `gamma_gamma`.
    """
    if purchase_model == "bgbb":
        return active_months(x, age, horizons, params, gamma_gamma, annual_rate)
    params, options = purchase_process(purchase_model, params, stage, k)
    out = np.full((len(age), len(horizons), len(MEASURES)), np.nan)
    out[..., 1], out[..., 0] = discounted_purchases(
        x, age, horizons, params, annual_rate, ahead, **options
    )
    options["coarse"] = coarse
    out[..., 2:] = spread(x, age, ahead(horizons), params, gamma_gamma, **options)
    return out


def purchase_process(purchase_model, params, stage=0, k=1):
    """A model's parameters given alive, and the options of `expected_purchases`."""
    if purchase_model.startswith("m"):
        params = (*params[:3], params[3] + 1)
    at_any_time = purchase_model == "paretonbd"
    return params, {"at_any_time": at_any_time, "stage": stage, "k": k}


def spread(
    x, age, horizons, params, gamma_gamma, at_any_time=False, stage=0, k=1, coarse=False
):
    """P(at least 1 ... TOP_COUNT purchases), and the quantiles of spend, given alive.

    Args:
        x: repeat purchase days so far, a number.
        age: time since the first purchase, shape (m,).
        horizons: time ahead, increasing, each a number or of shape (m, 1).
        params: as in `expected_purchases`.
        gamma_gamma: (p, q), or None when value is not modelled.
        at_any_time: as in `expected_purchases`.
        stage: as in `expected_purchases`.
        k: as in `expected_purchases`.
        coarse: whether spend is computed at `few_counts`, and linear between them.

    Returns:
        Array of shape (m, h, TOP_COUNT + LEVELS).
    """
    r, alpha, *leaving = params
    out = np.full((len(age), len(horizons), TOP_COUNT + LEVELS), np.nan)
    r += (k - 1) * x + stage  # arrivals so far, beside x of them

    def reach(horizon, tail):
        start = alpha + np.asarray(age, float)
        chance = np.min(start / (start + np.ravel(horizon)))
        return max(largest_count(r + x, chance, tail), TOP_COUNT * k)

    reached = [reach(horizon, COUNT_TAIL) for horizon in horizons]
    counts = reached[-1]
    # who leaves at any time survives a purchase; their arrivals end when they leave
    alive = np.ones(counts) if at_any_time else survival(x, counts, *leaving)
    if at_any_time:
        chances = arrivals_while_alive(x, age, horizons, reached, params)
    else:
        chances = (
            arrivals(x, age, horizon, count, r, alpha)
            for horizon, count in zip(horizons, reached, strict=True)
        )
    n = np.arange(counts + 1)
    weights = np.where(n[:, None] > np.arange(TOP_COUNT), alive[:TOP_COUNT], 0.0)
    purchases = (n + stage) // k  # by arrivals
    at = few_counts(purchases[-1]) if coarse else n
    if gamma_gamma:
        p, q = gamma_gamma
        if p > P_MOST:  # the same mean, and a grid that ends
            p, q = P_MOST, 1 + (q - 1) * P_MOST / p
        top = reach(horizons[-1], expit(FIRST_Z) / 2)
        grid, table = spend_table(x, p, q, counts, top, at[1:])
        there = alive[at[1:] - 1]
        # of n purchases they might make, m < n are made if dropout follows the m-th
        made = table.copy()
        gaps = np.diff(at[1:])[:, None]
        made[:-1] += (gaps - 1) / (2 * gaps) * np.diff(table, axis=0)
        stops = -np.diff(there, append=there[-1])[:, None] * made
        spend = there[:, None] * table
        spend[1:] += stops.cumsum(axis=0)[:-1]
        spend = np.vstack([np.zeros(len(grid)), spend])
        if not coarse:
            weights = np.hstack([weights, spend])
    weights = weights[purchases]
    for i, chance in enumerate(chances):
        chance[:, -1] += np.maximum(1 - chance.sum(axis=1), 0)  # and more arrivals
        arrived, chance = chance, product(chance, weights[: chance.shape[1]])
        if coarse and gamma_gamma:
            made = fold(arrived, purchases[: arrived.shape[1]], at) @ spend
            chance = np.hstack([chance, made])
        # rounding must not leave a probability above one, or out of order
        at_least = np.minimum.accumulate(np.minimum(chance[:, :TOP_COUNT], 1), axis=1)
        out[:, i, :TOP_COUNT] = at_least
        if gamma_gamma:
            given = chance[:, TOP_COUNT:] / chance[:, :1]
            out[:, i, TOP_COUNT:] = invert(grid, given)
    return out


def lifetime_purchases(
    x, age, params, annual_rate, ahead=np.asarray, days=LIFETIME_DAYS, **options
):
    """Discounted purchase days of the rest of the life, given alive, and plain ones.

    Args:
        x: repeat purchase days so far, a number.
        age: time since the first purchase, shape (m,).
        params: as in `expected_purchases`.
        annual_rate: for example 0.10.
        ahead: as in `discounted_purchases`.
        days: where the life ends at the latest.
        options: at_any_time, stage and k of `expected_purchases`.

    Returns:
        Discounted and undiscounted expectation, each of shape (m,).
    """
    pieces = np.concatenate([[0.0], np.geomspace(days / 1e4, days, LIFETIME_STEPS)])
    found = discounted_purchases(
        x, age, pieces[1:], params, annual_rate, ahead, **options
    )
    return found[0][:, -1], found[1][:, -1]


def lifetime(
    x, age, purchase_model, params, gamma_gamma, annual_rate, ahead, stage=0, k=1
):
    """Measures of the rest of the life; arguments and shape of `expectation_table`."""
    if purchase_model == "bgbb":
        return lifetime_months(x, age, params, gamma_gamma, annual_rate)
    params, options = purchase_process(purchase_model, params, stage, k)
    age = np.asarray(age, float)
    present, plain = lifetime_purchases(x, age, params, annual_rate, ahead, **options)
    end = float(ahead(np.array([LIFETIME_DAYS]))[0])

    # in units of the time in which as many are expected undiscounted
    low, high = np.zeros((len(age), 1)), np.full((len(age), 1), end)
    for _ in range(LIFETIME_HALVINGS):
        middle = (low + high) / 2
        few = expected_purchases(x, age, middle, params, **options) < present[:, None]
        low, high = np.where(few, middle, low), np.where(few, high, middle)

    long = np.minimum(LIFETIME_SPREAD * high, end)
    spent = expected_purchases(x, age, long, params, **options)[:, 0]

    steps = LEAVING_STEPS if options["at_any_time"] else 1
    shares = np.geomspace(3.0 ** (1 - steps), 1, steps)
    ever = 1 - no_purchase(x, age, shares * end, params, **options)
    pieces = [share * long for share in shares]
    near = spread(x, age, pieces, params, gamma_gamma, **options, coarse=True)[:, -1]
    # scaled to the mean given a purchase; that of the row is not discounted yet
    scale = np.log(plain / ever) - np.log(spent / near[:, 0])
    near[:, TOP_COUNT:] += scale[:, None]
    near[:, 0] = ever
    return np.column_stack([plain, present, near])[:, None]


def no_purchase(x, age, horizons, params, at_any_time=False, stage=0, k=1):
    """P(no purchase by the last of the horizons), given alive, shape (m,).

    Who leaves at any time may do so between any two horizons: arguments as of `spread`.
    """
    if at_any_time:
        none = np.zeros(len(horizons), dtype=int)
        *_, last = arrivals_while_alive(x, age, horizons, none, params)
        return last[:, 0]
    r, alpha, *_ = params
    arrived = arrivals(k * x + stage, age, horizons[-1], k - stage - 1, r, alpha)
    return arrived.sum(axis=1)


def months_staying(age, months, params):
    """P(not gone after i months), given alive, i = 0 ... months, shape (m, months + 1).

    Of a monthly log: from the 15th to the end of a month is half a month, which is left
    over of an age in days.
    """
    *_, gamma, delta = params
    n = np.floor(np.asarray(age, float) / MONTH)[:, None] + np.arange(months)
    stays = np.cumprod((delta + n) / (gamma + delta + n), axis=1)
    return np.hstack([np.ones((len(stays), 1)), stays])


def months_expected(x, age, months, params, annual_rate):
    """Discounted and plain active months expected by the end of each month ahead.

    Returns:
        P(active in a month), shape (m, 1); two arrays of shape (m, months + 1).
    """
    alpha, beta, *_ = params
    n = np.floor(np.asarray(age, float) / MONTH)[:, None]
    chance = (alpha + x) / (alpha + beta + n)
    each = chance * months_staying(age, months, params)
    each[:, 0] = 0
    middle = np.maximum(np.arange(months + 1) - 0.5, 0) / 12
    present = each * (1 + annual_rate) ** -middle
    return chance, present.cumsum(axis=1), each.cumsum(axis=1)


def month_counts(x, age, months, params):
    """P(0 ... i active months of i), and P(staying i months of those ahead), one age.

    Args:
        x: active months after the first so far, a number.
        age: days since the first active month, a number.
        months: the most months ahead.
        params: (alpha, beta, gamma, delta).

    Returns:
        Beta-binomial probabilities, a row for each i = 0 ... months, shape (months + 1,
        months + 1); function of months ahead -> P(exactly i), i = 0 ... months ahead.
    """
    alpha, beta, *_ = params
    n = np.floor(age / MONTH)
    alpha, beta = alpha + x, beta + n - x
    i = np.arange(months + 1)
    ln_i = gammaln(i + 1)
    idle = i[:, None] - i
    ln_p = gammaln(alpha + i) - gammaln(alpha) - ln_i
    ln_p = ln_p + (gammaln(beta + i) - gammaln(beta) - ln_i)[np.maximum(idle, 0)]
    ln_p += (ln_i + gammaln(alpha + beta) - gammaln(alpha + beta + i))[:, None]
    active = np.where(idle < 0, 0.0, np.exp(ln_p))
    stays = months_staying([age], months, params)[0]

    def exactly(ahead):
        return np.append(-np.diff(stays[: ahead + 1]), stays[ahead])

    return active, exactly


def active_spread(x, ages, months, params, gamma_gamma):
    """P(at least 1 ... TOP_COUNT active months), and the quantiles of spend, BG/BB.

    Args:
        x: active months after the first so far, a number.
        ages: days since the first active month, shape (m,).
        months: months ahead, shape (m, h).
        params: (alpha, beta, gamma, delta).
        gamma_gamma: (p, q), or None when value is not modelled.

    Returns:
        Array of shape (m, h, TOP_COUNT + LEVELS).
    """
    out = np.zeros((*months.shape, TOP_COUNT + LEVELS))
    most = max(int(months.max()), TOP_COUNT)
    if gamma_gamma:
        p, q = gamma_gamma
        if p > P_MOST:  # the same mean, and a grid that ends
            p, q = P_MOST, 1 + (q - 1) * P_MOST / p
        grid, table = spend_table(x, p, q, most, most)
    else:
        out[..., TOP_COUNT:] = np.nan
    for age, ahead, row in zip(ages, months, out, strict=True):
        active, exactly = month_counts(x, age, int(ahead.max()), params)
        for place, month in enumerate(ahead):
            chance = exactly(month) @ active[: month + 1, : month + 1]
            at_least = chance[::-1].cumsum()[::-1][1:]
            few = min(month, TOP_COUNT)
            row[place, :few] = np.minimum(at_least[:few], 1)
            if gamma_gamma:
                spend = chance[1:] @ table[:month] / at_least[0]
                row[place, TOP_COUNT:] = invert(grid, spend[None])[0]
    return out


def active_months(x, age, horizons, params, gamma_gamma, annual_rate):
    """As `expectation_table`, for BG/BB: a horizon is a number of whole months."""
    months = np.floor(np.asarray(horizons, float) / MONTH + 0.5).astype(int)
    _, present, plain = months_expected(x, age, months[-1], params, annual_rate)
    ahead = np.tile(months, (len(age), 1))
    near = active_spread(x, age, ahead, params, gamma_gamma)
    return np.concatenate(
        [plain[:, months, None], present[:, months, None], near], axis=2
    )


def lifetime_months(x, age, params, gamma_gamma, annual_rate):
    """As `lifetime`, for BG/BB."""
    most = 12 * LIFETIME_YEARS
    chance, present, plain = months_expected(x, age, most, params, annual_rate)
    # whole months in which as many are expected undiscounted
    equal = 1 + (plain[:, 1:] < present[:, -1:]).sum(axis=1)
    long = np.minimum(np.ceil(LIFETIME_SPREAD * equal), most).astype(int)[:, None]
    spent = np.take_along_axis(plain, long, axis=1)
    near = active_spread(x, age, long, params, gamma_gamma)[:, 0]
    # nobody active while they stay: the first months of every row of `month_counts`
    idle = 1 - (params[0] + x) / ((params[0] + x) / chance + np.arange(most))
    idle = np.hstack([np.ones_like(chance), idle.cumprod(axis=1)])
    stays = months_staying(age, most, params)
    left = np.hstack([-np.diff(stays), stays[:, -1:]])
    ever = 1 - (left * idle).sum(axis=1)
    scale = np.log(plain[:, -1] / ever) - np.log(spent[:, 0] / near[:, 0])
    near[:, TOP_COUNT:] += scale[:, None]
    near[:, 0] = ever
    return np.column_stack([plain[:, -1], present[:, -1], near])[:, None]


def expectation_tables(pairs, parameters, season, horizons, annual_rate):
    """Expectations of every pair and horizon, by each parameter set of its stratum.

    Horizons are days ahead, in any order; the rest as of `tabulated`.
    """
    horizons = np.unique(np.asarray(horizons, dtype="int64"))

    def table(x, age, purchase_model, params, gamma_gamma, ahead, stage, k):
        fit = (purchase_model, params, gamma_gamma, annual_rate, ahead, stage, k)
        return expectation_table(x, age, horizons.astype("float64"), *fit)

    return tabulated(pairs, parameters, season, horizons, table)


def beyond(pairs, parameters, season, horizons, annual_rate):
    """The same beyond the horizons, at the last cutoff: later years, and the life."""
    cutoffs = dates(pairs["cutoff_date"])
    pairs = pairs[cutoffs == cutoffs.max()] if len(pairs) else pairs
    further = np.array([h for h in [FURTHER_DAYS] if h not in list(horizons)], int)

    def table(x, age, purchase_model, params, gamma_gamma, ahead, stage, k):
        fit = (purchase_model, params, gamma_gamma, annual_rate, ahead, stage, k)
        is_pareto = purchase_model == "paretonbd"
        # who leaves at any time does so between horizons, which are therefore not far
        steps = np.unique([*horizons, *further]) if is_pareto else further

        def at(age):
            parts = [lifetime(x, age, *fit)]
            if len(further):
                days = steps.astype("float64")
                found = expectation_table(x, age, days, *fit, coarse=True)
                parts.insert(0, found[:, np.isin(steps, further)])
            return np.concatenate(parts, axis=1)

        if purchase_model == "bgbb":
            return at(age)
        pace = min(params[1], params[3]) if is_pareto else params[1]
        return over_ages(at, age, pace)

    return tabulated(pairs, parameters, season, [*further, LIFETIME_DAYS], table)


def over_ages(table, age, pace):
    """A table at many ages: a cubic spline in ln(pace + age) through fewer of them.

    Args:
        table: function of ages, shape (m,) -> array of shape (m, h, len(MEASURES)).
        age: time since the first purchase, shape (m,).
        pace: alpha, of Pareto/NBD the smaller of alpha and beta; in the unit of age.

    Returns:
        Array of shape (m, h, len(MEASURES)).
    """
    at = np.log(pace + age)
    low, high = at.min(), at.max()
    nodes = np.linspace(
        low, high, max(int(np.ceil((high - low) / AGE_STEP)) + 1, LEAST_AGES)
    )
    if len(age) <= 2 * len(nodes):
        return table(age)
    found = table(np.clip(np.exp(nodes) - pace, age.min(), age.max()))
    known = ~np.isnan(found[0, 0])
    out = np.full((len(age), *found.shape[1:]), np.nan)
    out[..., known] = CubicSpline(nodes, found[..., known])(at)
    chances = out[..., 2 : 2 + TOP_COUNT]
    out[..., 2 : 2 + TOP_COUNT] = np.minimum.accumulate(np.clip(chances, 0, 1), axis=-1)
    return out


def tabulated(pairs, parameters, season, horizons, table):
    """A table of measures for every pair, by each parameter set of its stratum.

    Args:
        pairs: frame with stratum, cutoff_date, frequency and age_days.
        parameters: frame with model_version, stratum, cutoff_date, purchase_model, r,
            alpha, a, b, s, beta, k, p and q; p and q are null without a value model.
        season: frame with model_version, cutoff_date, days_ago and time_ago, for the
            parameter sets that have a season.
        horizons: days ahead, increasing.
        table: function of x, ages, purchase model, parameters, (p, q), time ahead,
            stage and k -> array of shape (m, h, len(MEASURES)).

    Returns:
        DataFrame: `KEYS`, horizon_days and `MEASURES`, sorted by the first seven.
    """
    types = {key: kind for key, kind in KEYS.items() if kind != "date"}
    pairs = pairs.assign(cutoff_date=dates(pairs["cutoff_date"]))
    scored = parameters[["model_version", "stratum", "cutoff_date", "k"]]
    scored = scored.assign(cutoff_date=dates(scored["cutoff_date"]))
    pairs = pairs.merge(scored, on=["stratum", "cutoff_date"])
    pairs = pairs.sort_values(PAIR)
    pairs = pairs.loc[pairs.index.repeat(4 * (pairs["k"].astype("int64") - 1) + 1)]
    pairs["stage_quarters"] = pairs.groupby(pairs.index).cumcount()
    pairs = pairs[list(KEYS)].astype(types).reset_index(drop=True)
    sets = parameter_sets(parameters)
    calendars = warped_times(season)
    out = np.empty((len(pairs), len(horizons), len(MEASURES)))
    by = ["model_version", "stratum", "cutoff_date", "frequency"]
    for (*key, x), rows in pairs.groupby(by):
        since, ahead = calendars.get((key[0], key[2]), (np.asarray, np.asarray))
        *fit, k = sets[tuple(key)]
        ages = rows["age_days"][rows["stage_quarters"] == 0].to_numpy("float64")
        stages = np.stack(
            [table(x, since(ages), *fit, ahead, stage, k) for stage in range(k)], axis=1
        )
        stage, share = divmod(np.arange(4 * (k - 1) + 1), 4)
        share = share[:, None, None] / 4
        further = stages[:, np.minimum(stage + 1, k - 1)]
        mixed = (1 - share) * stages[:, stage] + share * further
        out[rows.index] = mixed.reshape(len(rows), *mixed.shape[2:])
    frame = pairs.loc[pairs.index.repeat(len(horizons))].reset_index(drop=True)
    frame["horizon_days"] = np.tile(horizons, len(pairs))
    measures = pd.DataFrame(out.reshape(-1, len(MEASURES)), columns=MEASURES)
    return typed(pd.concat([frame, measures], axis=1))


def parameter_sets(parameters):
    """Dictionary (version, stratum, cutoff_date) -> what `expectation_table` needs.

    Its values are the purchase model, its parameters, (p, q) or None, and the stages.
    """
    sets = {}
    for row in parameters.assign(
        cutoff_date=dates(parameters["cutoff_date"])
    ).itertuples():
        names = {
            "paretonbd": ("r", "alpha", "s", "beta"),
            "bgbb": ("alpha", "beta", "a", "b"),
        }.get(row.purchase_model, ("r", "alpha", "a", "b"))
        params = tuple(float(getattr(row, n)) for n in names)
        value = None if pd.isna(row.p) else (float(row.p), float(row.q))
        key = (str(row.model_version), str(row.stratum), row.cutoff_date)
        sets[key] = (str(row.purchase_model), params, value, int(row.k))
    return sets


def warped_times(season):
    """Dictionary (model_version, cutoff_date) -> how it measures time.

    Its values are two functions: of days before the cutoff, and of days ahead.
    """
    times = {}
    season = season.assign(cutoff_date=dates(season["cutoff_date"]))
    for (version, cutoff), rows in season.groupby(["model_version", "cutoff_date"]):
        rows = rows.sort_values("days_ago")
        days = rows["days_ago"].to_numpy("float64")
        time = rows["time_ago"].to_numpy("float64")
        times[str(version), cutoff] = (
            lambda before, days=days, time=time: np.interp(before, days, time),
            # beyond the calendar, in days of mean length
            lambda after, days=days, time=time: (
                np.maximum(after + days[0], 0) - np.interp(-after, days, time)
            ),
        )
    return times


def dates(column):
    return pd.to_datetime(column).dt.date


def typed(frame):
    """Without a row, text and dates need types of their own."""
    text = {"model_version": "string", "stratum": "string"}
    text["cutoff_date"] = "date32[pyarrow]"
    return frame.astype(text) if frame.empty else frame


def _to_pandas(relation):
    # DuckDB gives relations, BigQuery frames.
    return relation if isinstance(relation, pd.DataFrame) else relation.df()


def model(dbt, session):
    """Tabulate int_expectations__pairs by int_parameters, in the time of int_season."""
    dbt.config(materialized="table")
    inputs = (
        _to_pandas(dbt.ref("int_expectations__pairs")),
        _to_pandas(dbt.ref("int_parameters")),
        _to_pandas(dbt.ref("int_season")),
        dbt.config.meta_get("horizons", [30, 90, 180, 365]),
        float(dbt.config.meta_get("annual_discount_rate", 0.10)),
    )
    frame = pd.concat([expectation_tables(*inputs), beyond(*inputs)])
    return typed(frame.sort_values([*KEYS, "horizon_days"], ignore_index=True))
