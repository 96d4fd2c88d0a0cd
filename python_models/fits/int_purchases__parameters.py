"""Purchase models, fitted by maximum likelihood on compressed purchase histories.

While alive a customer buys at rate lambda ~ Gamma(r, alpha). How they leave differs:

* bgnbd (Fader, Hardie & Lee 2005, "Counting Your Customers the Easy Way", Marketing
  Science 24(2)): after each repeat purchase, with probability p ~ Beta(a, b);
* mbgnbd (Batislam, Denizel & Filiztekin 2007, International Journal of Research in
  Marketing 24(3)): the same, also after the first purchase;
* paretonbd (Schmittlein, Morrison & Colombo 1987, Management Science 33(1); Fader &
  Hardie, note 009): at any time, at rate mu ~ Gamma(s, beta).

Time is in days: alpha and beta are in days; r, a, b and s have no unit.

Grain: one row per model version, stratum and cutoff date of the histories, whatever
happens to its fit. The recipe (var clv_purchase_model) is fitted at every cutoff, its
challengers at the backtest cutoffs. Every column from `fitted_stratum` on describes the
fit that supplied the parameters. In turn: plain maximum likelihood; other starts; the
parent stratum (drop the last level after "|", at last "all"); and, only where even
"all" has no interior optimum, a penalised fit. A row is flagged when a fit failed on
the way, when there were too few customers for any fit, or when `lifetimes`, the second
opinion, disagrees.

Season (var clv_season: warped): purchases come at rate lambda s(day), so that days are
replaced by the cumulative index s wherever the model reads time, and nothing else
changes: exact for lambda, and for dropout after a purchase. The index is that of weeks
of the year: repeat purchases over those that the fit without a season expects of the
same customers. It is used at a cutoff only if it made the bias of windows smaller that
had ended by then.
"""

import contextlib
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import minimize
from scipy.special import digamma, exprel, gammaln, polygamma

PENALIZERS = (0.1, 1.0, 10.0)
RUNAWAY = 9.0  # |log parameter| beyond this: the likelihood rises towards infinity
TOLERANCE = 1e-4
NODES = 24  # quadrature over the time of leaving
NEGLIGIBLE = 32.0  # e-folds below its start at which an integrand is left out
SCOUTS = 20_000  # histories that show the way up where there are many more
CHUNK = 4096  # histories whose quadrature is held at once
DROPOUT_NODES = 64  # quadrature over the dropout probability
SEASON_WEEKS = 52  # the last has eight days, or nine
SEASON_HISTORY = 104 * 7  # days without which a season is not told from growth
SEASON_PRIOR = 30  # purchases that the prior of an index weighs
SEASON_BOUNDS = (0.5, 2.0)
SEASON_WINDOWS = 2  # windows that must have ended before a season is believed


# --- likelihood ---------------------------------------------------------------------


def group_histories(x, t_x, t, weight, sure_without_repeat=False):
    """Arrange histories so that each costly function runs once per distinct argument.

    Args:
        x: repeat purchase days, shape (n,).
        t_x: recency, first to last purchase, shape (n,), same unit as `t`.
        t: age, first purchase to cutoff, shape (n,).
        weight: customers with that history, shape (n,).
        sure_without_repeat: whether customers with x = 0 are surely alive.

    Returns:
        Customers; (distinct x, weights); (distinct t of those surely alive, weights);
        and (x, t_x, t, weight) of the others.

    Raises:
        ValueError: for histories that cannot be (negative, or t_x beyond t).
    """
    x, t_x, t, weight = (np.asarray(v, float) for v in (x, t_x, t, weight))
    if not np.all((x >= 0) & (t_x >= 0) & (t_x <= t) & (weight > 0)):
        raise ValueError("histories need x >= 0, 0 <= t_x <= t and customers > 0")

    def distinct(values, weights):
        unique, index = np.unique(values, return_inverse=True)
        return unique, np.bincount(index, weights=weights, minlength=len(unique))

    sure = (x == 0) & sure_without_repeat
    unsure = tuple(v[~sure] for v in (x, t_x, t, weight))
    return weight.sum(), distinct(x, weight), distinct(t[sure], weight[sure]), unsure


def dot(one, other):
    """Sum of products of vectors as long as there are histories.

    BLAS would share it out to threads, which wait longer than they work: eight times
    the processor time.
    """
    return np.einsum("i,i->", one, other)


def beta_geometric(log_params, grouped, with_hessian=False, first=0):
    """Log-likelihood of BG/NBD or MBG/NBD with exact derivatives.

    Fader, Hardie & Lee (2005), section 7, written as softplus so that it neither
    overflows nor underflows. MBG/NBD has one chance of leaving more, after the first
    purchase: b + 1 in place of b wherever x purchases have been survived.

    Args:
        log_params: logs of (r, alpha, a, b), shape (4,); alpha in the unit of time.
        grouped: the result of `group_histories`, with those surely alive for BG/NBD.
        with_hessian: whether the second derivatives are wanted.
        first: 1 when customers may leave after the first purchase, else 0.

    Returns:
        Value; gradient, shape (4,), and Hessian, shape (4, 4) or None, both with
        respect to the log parameters.
    """
    r, alpha, a, b = params = np.exp(log_params)
    c = b + first
    n, (ux, wx), (t0, w0), (x, t_x, t, w) = grouped

    value = wx @ (gammaln(r + ux) + gammaln(c + ux) - gammaln(a + c + ux)) + n * (
        r * np.log(alpha) - gammaln(r) + gammaln(a + b) - gammaln(b)
    )
    d_abx = wx @ digamma(a + c + ux)
    g_r = wx @ digamma(r + ux) + n * (np.log(alpha) - digamma(r))
    g_alpha = n * r / alpha
    g_a = n * digamma(a + b) - d_abx
    g_b = n * (digamma(a + b) - digamma(b)) + wx @ digamma(c + ux) - d_abx

    log_t0, inv_t0 = np.log(alpha + t0), 1 / (alpha + t0)
    value -= r * (w0 @ log_t0)
    g_r -= w0 @ log_t0
    g_alpha -= r * (w0 @ inv_t0)

    # the others: either alive all along, or gone after the last purchase
    log_gone = np.log(alpha + t_x)
    log_ratio = np.log(alpha + t) - log_gone
    inv_alive, inv_gone = 1 / (alpha + t), 1 / (alpha + t_x)
    log_cx = np.log(c + x - 1)
    d = log_cx - np.log(a) - (r + x) * log_ratio
    e = np.exp(-np.abs(d))
    alive = np.where(d > 0, 1, e) / (1 + e)  # = P(alive)
    gone = w * (1 - alive)
    inv_mean = inv_gone + alive * (inv_alive - inv_gone)
    value += dot(w, np.maximum(d, 0) + np.log1p(e) - log_cx - (r + x) * log_gone)
    value += w.sum() * np.log(a)
    g_r -= dot(w, log_gone + alive * log_ratio)
    g_alpha -= dot(w, (r + x) * inv_mean)
    g_a += gone.sum() / a
    g_b -= dot(gone, 1 / (c + x - 1))
    gradient = np.array([g_r, g_alpha, g_a, g_b])
    if not with_hessian:
        return value, gradient * params, None

    def trigamma(v):
        return polygamma(1, v)

    d_ab = n * trigamma(a + b) - wx @ trigamma(a + c + ux)
    h = np.zeros((4, 4))
    h[0, 0] = wx @ trigamma(r + ux) - n * trigamma(r)
    h[0, 1] = n / alpha - w0 @ inv_t0 - dot(w, inv_mean)
    h[1, 1] = r * (w0 @ inv_t0**2) - n * r / alpha**2
    h[1, 1] += dot(w * (r + x), alive * inv_alive**2 + (1 - alive) * inv_gone**2)
    h[2, 2] = d_ab - gone.sum() / a**2
    h[2, 3] = d_ab
    h[3, 3] = d_ab - n * trigamma(b) + wx @ trigamma(c + ux)
    h[3, 3] += dot(gone, 1 / (c + x - 1) ** 2)
    h = np.triu(h) + np.triu(h, 1).T
    # two ways to the same history: the spread of their gradients adds curvature
    spread = np.vstack(
        [
            -log_ratio,
            (r + x) * (inv_gone - inv_alive),
            np.full_like(x, -1 / a),
            1 / (c + x - 1),
        ]
    )
    h += np.einsum("in,jn->ij", spread * (gone * alive), spread)
    return (
        value,
        gradient * params,
        h * np.outer(params, params) + np.diag(gradient * params),
    )


def times_of_leaving(x, t_x, t, r, alpha, beta):
    """Quadrature over the time at which a customer may have left, after t_x up to t.

    Gauss-Legendre in ln(m + time) with m = min(alpha, beta): there the integrand of
    Pareto/NBD is log-concave and analytic in a strip of half-width pi, however many
    the purchases. It ends where (alpha + time)^-(r + x) has become negligible.

    Returns:
        Times and weights, each of shape (NODES, n).
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    lowest = min(alpha, beta)
    far = np.exp(np.minimum(NEGLIGIBLE / (r + x), 700))
    end = np.minimum(t, (alpha + t_x) * far - alpha)
    span = np.log((lowest + end) / (lowest + t_x))
    reached = (lowest + t_x) * np.exp(np.multiply.outer((1 + nodes) / 2, span))
    return reached - lowest, np.multiply.outer(weights / 2, span) * reached


def pareto_nbd(log_params, grouped, with_hessian=False):
    """Pareto/NBD log-likelihood with its derivatives.

    Of a customer, lambda and mu integrated out (Fader & Hardie, note 009, section 3):
    Gamma(r + x) / Gamma(r) alpha^r beta^s times the sum of (alpha + t)^-(r + x)
    (beta + t)^-s, alive, and of the integral over the time of leaving u of
    s (alpha + u)^-(r + x) (beta + u)^-(s + 1). The integral is a sum over nodes, so
    that value and derivatives are those of a mixture; no hypergeometric function.

    Args:
        log_params: logs of (r, alpha, s, beta), shape (4,); alpha and beta in the unit
            of time.
        grouped: the result of `group_histories`.
        with_hessian: whether the second derivatives are wanted.

    Returns:
        As `beta_geometric`, with respect to these parameters.
    """
    r, alpha, s, beta = params = np.exp(log_params)
    n, (ux, wx), _, unsure = grouped
    value = wx @ gammaln(r + ux) + n * (
        r * np.log(alpha) - gammaln(r) + s * np.log(beta)
    )
    gradient = np.array(
        [
            wx @ digamma(r + ux) + n * (np.log(alpha) - digamma(r)),
            n * r / alpha,
            n * np.log(beta),
            n * s / beta,
        ]
    )
    h = np.zeros((4, 4))
    if with_hessian:
        h[0, 0] = wx @ polygamma(1, r + ux) - n * polygamma(1, r)
        h[0, 1] = n / alpha
        h[1, 1] = -n * r / alpha**2
        h[2, 3] = n / beta
        h[3, 3] = -n * s / beta**2
    for first in range(0, len(unsure[0]), CHUNK):
        x, t_x, t, w = (v[first : first + CHUNK] for v in unsure)
        times, weights = times_of_leaving(x, t_x, t, r, alpha, beta)
        times = np.vstack([times, t])  # the last row: still alive at t
        left = np.ones((len(times), 1))
        left[-1] = 0
        log_a, log_b = np.log(alpha + times), np.log(beta + times)
        parts = -(r + x) * log_a - (s + left) * log_b
        with np.errstate(divide="ignore"):  # nobody has left at t_x = t
            parts[:-1] += np.log(s * weights)
        highest = parts.max(axis=0)
        share = np.exp(parts - highest)
        total = share.sum(axis=0)
        share /= total
        value += w @ (highest + np.log(total))
        inv_a, inv_b = 1 / (alpha + times), 1 / (beta + times)
        slopes = np.array(
            [-log_a, -(r + x) * inv_a, left / s - log_b, -(s + left) * inv_b]
        )
        mean = (slopes * share).sum(axis=1)
        gradient += mean @ w
        if with_hessian:
            share *= w
            h[0, 1] -= np.sum(share * inv_a)
            h[1, 1] += np.sum(share * (r + x) * inv_a**2)
            h[2, 2] -= np.sum(share * left) / s**2
            h[2, 3] -= np.sum(share * inv_b)
            h[3, 3] += np.sum(share * (s + left) * inv_b**2)
            h += np.triu(np.einsum("ikn,jkn,kn->ij", slopes, slopes, share))
            h -= np.triu((mean * w) @ mean.T)
    if not with_hessian:
        return value, gradient * params, None
    h = np.triu(h) + np.triu(h, 1).T
    return (
        value,
        gradient * params,
        h * np.outer(params, params) + np.diag(gradient * params),
    )


class PurchaseModel(NamedTuple):
    """What one purchase model needs to be fitted.

    Attributes:
        names: its parameters; alpha and beta are in the unit of time.
        log_likelihood: function of (log_params, grouped, with_hessian).
        sure_without_repeat: whether customers with x = 0 are surely alive.
        starts: logs of its parameters, times relative to the longest age. The first
            start is neutral, the others are sparse retail (CDNOW) and frequent grocery
            (Complete Journey).
        anchor: centre of the last-resort penalty, between published fits of retail.
        fitter: its name in lifetimes.
        opinion_rows: histories the second opinion reads at most; Nelder-Mead is slow.
    """

    names: tuple[str, ...]
    log_likelihood: Callable
    sure_without_repeat: bool
    starts: np.ndarray
    anchor: np.ndarray
    fitter: str
    opinion_rows: int


def mbg_nbd(log_params, grouped, with_hessian=False):
    """Log-likelihood of MBG/NBD; see `beta_geometric`."""
    return beta_geometric(log_params, grouped, with_hessian, first=1)


MODELS = {
    "bgnbd": PurchaseModel(
        ("r", "alpha", "a", "b"),
        beta_geometric,
        True,
        np.log([[1, 1, 1, 1], [0.25, 0.1, 0.8, 2.5], [1.4, 0.04, 0.07, 50]]),
        np.log([0.5, 0.2, 0.7, 3]),
        "BetaGeoFitter",
        25_000,
    ),
    "mbgnbd": PurchaseModel(
        ("r", "alpha", "a", "b"),
        mbg_nbd,
        False,
        np.log([[1, 1, 1, 1], [0.5, 0.15, 0.9, 1.6], [1.4, 0.04, 0.07, 50]]),
        np.log([0.7, 0.3, 0.7, 2]),
        "ModifiedBetaGeoFitter",
        25_000,
    ),
    "paretonbd": PurchaseModel(
        ("r", "alpha", "s", "beta"),
        pareto_nbd,
        False,
        np.log([[1, 1, 1, 1], [0.55, 0.27, 0.6, 0.3], [1.5, 0.04, 2, 4]]),
        np.log([0.7, 0.3, 0.6, 0.6]),
        "ParetoNBDFitter",
        2_000,
    ),
}
NAMES = list(dict.fromkeys(name for each in MODELS.values() for name in each.names))
PAIRS = list(
    dict.fromkeys(
        (one, other)
        for each in MODELS.values()
        for i, one in enumerate(each.names)
        for other in each.names[i:]
    )
)
COLUMNS = {
    "model_version": "str",
    "stratum": "str",
    "cutoff_date": "date",
    "is_recipe": "bool",
    "purchase_model": "str",
    "fitted_stratum": "str",
    "method": "str",
    "converged": "bool",
    "is_flagged": "bool",
    "message": "str",
    "penalizer": "float64",
    "customers": "int64",
    "histories": "int64",
    **dict.fromkeys(NAMES, "float64"),
    **{f"se_{name}": "float64" for name in NAMES},
    **{f"cov_ln_{one}_ln_{other}": "float64" for one, other in PAIRS},
    "log_likelihood": "float64",
    "lifetimes_customers": "int64",
    "lifetimes_parameter_difference": "float64",
    "lifetimes_log_likelihood_difference": "float64",
    "season": "str",
    "bias_without_season": "float64",
    "bias_with_season": "float64",
}


# --- fit ----------------------------------------------------------------------------


def ascend(objective, start, bounds):
    """The way up: L-BFGS-B with the gradient, to a point near a maximum."""

    def descent(point):
        value, gradient, _ = objective(point, False)
        return -value, -gradient

    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7}
    return minimize(
        descent, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    ).x


def polish(objective, point):
    """The last steps to a maximum: Newton with the Hessian.

    Args:
        objective: function of (point, with_hessian) -> (value, gradient, Hessian).
        point: near the maximum, shape (k,).

    Returns:
        Point, shape (k,); covariance (the inverse of minus the Hessian), shape (k, k),
        NaN where the Hessian is not negative definite; whether the point is an
        interior maximum.
    """
    for step_number in range(8):
        _, gradient, hessian = objective(point, True)
        steepest = np.abs(gradient).max()
        if not np.linalg.eigvalsh(-hessian).min() > 1e-10:
            return point, np.full_like(hessian, np.nan), False
        step = np.linalg.solve(-hessian, gradient)
        if steepest < 1e-12 or np.abs(step).max() > 1 or step_number == 7:
            break
        point = point + step
    interior = steepest < 1e-8 and np.abs(point).max() < RUNAWAY
    return point, np.linalg.inv(-hessian), interior


def fit_purchases(purchase_model, x, t_x, t, weight=None, penalizer=0.0):
    """Maximum-likelihood fit of one purchase model on weighted histories.

    Args:
        purchase_model: a name in `MODELS`.
        x: repeat purchase days, shape (n,).
        t_x: recency, shape (n,), same unit as `t`.
        t: age at the cutoff, shape (n,).
        weight: customers with that history, shape (n,); 1 each by default.
        penalizer: zero for the plain fit; otherwise each log parameter has a normal
            prior around the anchor with variance 1 / penalizer (times relative to the
            longest age), so that its weight fades as customers are added.

    Returns:
        dict: params, with times in the unit of `t`; cov_ln, covariance
        of their logs, shape (4, 4); log_likelihood on the scale of `t`, without the
        penalty; converged, whether it is an interior maximum; method.

    Raises:
        ValueError: for impossible histories.
    """
    kind = MODELS[purchase_model]
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, float)
    scale = np.max(t) or 1.0
    t_x, t = np.divide(t_x, scale), np.divide(t, scale)
    histories = np.asarray(x, float), t_x, t, weight
    n, *_ = grouped = group_histories(*histories, kind.sure_without_repeat)

    def objective_of(grouped):
        customers = grouped[0]

        def objective(point, with_hessian):
            value, gradient, hessian = kind.log_likelihood(point, grouped, with_hessian)
            value -= penalizer / 2 * np.sum((point - kind.anchor) ** 2)
            gradient = gradient - penalizer * (point - kind.anchor)
            if with_hessian:
                hessian = (hessian - penalizer * np.eye(4)) / customers
            return value / customers, gradient / customers, hessian

        return objective

    objective = objective_of(grouped)
    # Of very many histories a part knows the way up; only the last steps need all.
    ways = [objective]
    if len(t) > 2 * SCOUTS:
        few = np.linspace(0, len(t) - 1, SCOUTS).round().astype(int)
        scouts = (values[few] for values in histories)
        ways = [objective_of(group_histories(*scouts, kind.sure_without_repeat)), *ways]
    method = "penalized" if penalizer else "mle"
    for start in [kind.anchor] if penalizer else kind.starts:
        for way in ways:
            near = ascend(way, start, [(-12, 12)] * 4)
            point, cov_ln, interior = polish(objective, near)
            if interior:
                break
        if interior:
            break
        method = "penalized" if penalizer else "mle_restart"
    value = kind.log_likelihood(point, grouped)[0]
    params = np.exp(point)
    params[[name in ("alpha", "beta") for name in kind.names]] *= scale
    return {
        "params": params,
        "cov_ln": cov_ln / n,
        "log_likelihood": value - dot(weight, np.asarray(x, float)) * np.log(scale),
        "converged": bool(interior),
        "method": method,
    }


@contextlib.contextmanager
def contained():
    """Undo what importing and running lifetimes changes for the whole process."""
    chained_assignment = pd.options.mode.chained_assignment
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            pd.options.mode.chained_assignment = chained_assignment


def lifetimes_fit(purchase_model, x, t_x, t, weight):
    """The fit of lifetimes: (params, log-likelihood) as in `fit_purchases`.

    lifetimes reports the log-likelihood per customer (of Pareto/NBD: per mean weight)
    on ages scaled to at most one; it is brought back here.

    Raises:
        lifetimes.utils.ConvergenceError: and whatever else lifetimes raises.
    """
    kind = MODELS[purchase_model]
    pareto = purchase_model == "paretonbd"
    # without a start it takes a random one
    options = {"initial_params": np.ones(4)} if pareto else {}
    tolerances = (1e-8, 1e-7, 1e-6) if pareto else (1e-9, 1e-7, 1e-6)
    with contained():
        import lifetimes.fitters

        lifetimes.fitters.print = lambda *_: None  # it prints the optimiser's state
        # Where the last bits of a sum end its search for a finer optimum than doubles
        # can show, a coarser one answers: still far within `TOLERANCE`.
        for tolerance in tolerances:
            fitter = getattr(lifetimes, kind.fitter)()
            try:
                fitter.fit(x, t_x, t, weights=weight, tol=tolerance, **options)
                break
            except lifetimes.utils.ConvergenceError:
                if tolerance == tolerances[-1]:
                    raise
    units = weight.mean() if pareto else weight.sum()
    value = -units * fitter._negative_log_likelihood_
    value += np.dot(weight, x) * np.log(fitter._scale)
    return fitter.params_[list(kind.names)].to_numpy("float64"), value


def second_opinion(purchase_model, histories, own, max_rows):
    """Refit with lifetimes and compare with our own fit of the same rows.

    Args:
        purchase_model: a name in `MODELS`.
        histories: tuple (x, t_x, t, weight) of arrays of shape (n,), sorted.
        own: the result of `fit_purchases` on them.
        max_rows: beyond this many, both fit rows taken at even steps.

    Returns:
        dict: params of lifetimes (None if it failed), customers it saw, largest
        relative difference of a parameter, relative difference of the log-likelihood,
        and a message, empty if it agrees within `TOLERANCE`.
    """
    rows = len(histories[0])
    if rows > max_rows:
        take = np.linspace(0, rows - 1, max_rows).round().astype(int)
        histories = tuple(v[take] for v in histories)
        own = fit_purchases(purchase_model, *histories)
    seen = int(histories[3].sum())
    try:
        params, value = lifetimes_fit(purchase_model, *histories)
    except Exception as error:  # whatever its reason, it must not stop the build
        message = f"lifetimes failed: {' '.join(str(error).split())[:120]}"
        return {"params": None, "seen": seen, "gaps": (np.nan,) * 2, "message": message}
    gaps = (
        float(np.max(np.abs(params / own["params"] - 1))),
        float(abs(value / own["log_likelihood"] - 1)),
    )
    message = "" if max(gaps) <= TOLERANCE else f"lifetimes differs by {max(gaps):.1e}"
    return {"params": params, "seen": seen, "gaps": gaps, "message": message}


def fit_rows(purchase_model, rows, engine="own", last_resort=False):
    """Fit one purchase model to one stratum at one cutoff.

    Args:
        purchase_model: a name in `MODELS`.
        rows: frame with frequency, recency_days, age_days, customers (float64).
        engine: "own", "lifetimes" to take the estimates of lifetimes, or None for our
            own without a second opinion.
        last_resort: fit with the smallest penalty that gives an interior maximum.

    Returns:
        dict: columns of the output that describe the fit.
    """
    kind = MODELS[purchase_model]
    keys = ["frequency", "recency_days", "age_days"]
    rows = rows.groupby(keys, as_index=False)["customers"].sum()
    histories = tuple(rows[c].to_numpy("float64") for c in [*keys, "customers"])
    message, opinion, penalizer = "", {"seen": 0, "gaps": (np.nan, np.nan)}, 0.0
    if last_resort:
        for penalizer in PENALIZERS:
            fit = fit_purchases(purchase_model, *histories, penalizer=penalizer)
            if fit["converged"]:
                break
    else:
        fit = fit_purchases(purchase_model, *histories)
        if not fit["converged"]:
            message = "no interior optimum"
        elif engine:
            seen = kind.opinion_rows if engine == "own" else np.inf
            opinion = second_opinion(purchase_model, histories, fit, seen)
            message = opinion["message"]
            if engine == "lifetimes":
                fit = adopt(purchase_model, opinion["params"], histories, fit)
    params, cov_ln = fit["params"], fit["cov_ln"]
    se = params * np.sqrt(np.diag(cov_ln))
    pairs = [(i, j) for i in range(4) for j in range(i, 4)]
    return {
        "purchase_model": purchase_model,
        "method": fit["method"],
        "converged": fit["converged"],
        "message": message,
        "penalizer": penalizer,
        "customers": int(histories[3].sum()),
        "histories": len(rows),
        **dict(zip(kind.names, params, strict=True)),
        **{f"se_{name}": v for name, v in zip(kind.names, se, strict=True)},
        **{
            f"cov_ln_{kind.names[i]}_ln_{kind.names[j]}": cov_ln[i, j] for i, j in pairs
        },
        "log_likelihood": fit["log_likelihood"],
        "lifetimes_customers": opinion["seen"],
        "lifetimes_parameter_difference": opinion["gaps"][0],
        "lifetimes_log_likelihood_difference": opinion["gaps"][1],
        "season": "",
    }


def adopt(purchase_model, params, histories, fit):
    """Our log-likelihood and covariance at the estimates of lifetimes."""
    if params is None:
        return {**fit, "method": "lifetimes", "converged": False}
    kind = MODELS[purchase_model]
    grouped = group_histories(*histories, kind.sure_without_repeat)
    value, _, hessian = kind.log_likelihood(np.log(params), grouped, with_hessian=True)
    return {
        "params": params,
        "cov_ln": np.linalg.inv(-hessian),
        "log_likelihood": value,
        "converged": True,
        "method": "lifetimes",
    }


# --- season -------------------------------------------------------------------------


def beta_quadrature(a, b, nodes):
    """Gauss quadrature for the density of Beta(a, b) (Golub & Welsch 1969).

    Returns:
        Nodes and weights, each of shape (nodes,); the weights sum to one.
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


def expected_purchases(purchase_model, params, x, t_x, t, ahead):
    """Purchase days expected of customers in the time ahead.

    P(alive) times the expectation given alive: the formulas of
    macros/clv/probability_alive.sql and of int_outlook.

    Args:
        purchase_model: a name in `MODELS`.
        params: its parameters.
        x: repeat purchase days, shape (n,).
        t_x: recency, shape (n,).
        t: age, shape (n,).
        ahead: time ahead, a number or of shape (n,).

    Returns:
        Array of shape (n,).
    """
    x, t_x, t = (np.asarray(v, float) for v in (x, t_x, t))
    ahead = np.broadcast_to(np.asarray(ahead, float), x.shape)
    r, alpha, *leaving = params
    if purchase_model == "paretonbd":
        s, beta = leaving
        times, weights = times_of_leaving(x, t_x, t, r, alpha, beta)
        odds = (r + x) * np.log((alpha + t) / (alpha + times))
        odds += s * np.log((beta + t) / (beta + times))
        odds = (np.exp(np.minimum(odds, 600)) * weights * s / (beta + times)).sum(
            axis=0
        )
        stretch = np.log1p(ahead / (beta + t))
        left = (beta + t) * stretch * exprel((1 - s) * stretch)
        return (r + x) / (alpha + t) * left / (1 + odds)
    a, b = leaving
    b += purchase_model == "mbgnbd"
    odds = np.log(a) - np.log(np.maximum(b + x - 1, 1e-300))
    odds = np.exp(np.minimum(odds + (r + x) * np.log((alpha + t) / (alpha + t_x)), 700))
    if purchase_model == "bgnbd":
        odds[x == 0] = 0
    out = np.empty(len(x))
    for each in np.unique(x):
        rows = x == each
        p, weight = beta_quadrature(a, b + each, DROPOUT_NODES)
        ratio = np.multiply.outer(ahead[rows] / (alpha + t[rows]), p)
        out[rows] = -np.expm1(-(r + each) * np.log1p(ratio)) @ (weight / p)
    return out / (1 + odds)


def expected_daily(purchase_model, params, customers, length):
    """Repeat purchase days expected on each day, were all days of length 1.

    Args:
        purchase_model: a name in `MODELS`.
        params: its parameters, in the time that the lengths make.
        customers: customers by the day of their first purchase, shape (days,).
        length: length of each day, shape (days,).

    Returns:
        Array of shape (days,).
    """
    time = np.cumsum(length)
    grid = np.arange(time[-1] + 1)
    new = np.zeros(len(grid))
    curve = expected_purchases(purchase_model, params, new, new, new, grid)
    out = np.zeros(len(length))
    for day in np.flatnonzero(customers):
        so_far = np.interp(time[day:] - time[day], grid, curve)
        out[day + 1 :] += customers[day] * np.diff(so_far)
    return out / length


def season_index(purchases, expected, weeks):
    """Index of each week of the year: purchases over those expected, with a prior.

    A week's prior is the index of the four weeks that it is in; theirs is 1.

    Args:
        purchases: purchases on each day, shape (days,).
        expected: those expected without a season, shape (days,).
        weeks: the week of the year that each day is in, shape (days,).

    Returns:
        Array of shape (SEASON_WEEKS,), on average 1 over the days of a year.
    """
    length = np.array([7.0] * (SEASON_WEEKS - 1) + [8.25])
    expected = expected * (purchases.sum() / expected.sum())
    prior = np.ones(SEASON_WEEKS)
    for group in (np.arange(SEASON_WEEKS) // 4, np.arange(SEASON_WEEKS)):
        came, due = (
            np.bincount(group[weeks], v, len(prior)) for v in (purchases, expected)
        )
        ratio = (came[group] + SEASON_PRIOR * prior) / (due[group] + SEASON_PRIOR)
        prior = ratio / np.average(ratio, weights=length)
    index = np.clip(prior, *SEASON_BOUNDS)
    return index / np.average(index, weights=length)


class Calendar:
    """Days around a cutoff, of which it knows the season and what was bought.

    Args:
        days: frame of one cutoff with days_ago (negative after it), season_week,
            is_promotion, promotion_weight, and repeat_purchases.
    """

    def __init__(self, days):
        self.days = days.sort_values("days_ago", ascending=False, ignore_index=True)
        self.known = self.days[self.days["days_ago"] >= 0]

    def can_learn(self):
        """Whether a season can be told from growth."""
        purchases = self.known.loc[~self.known["is_promotion"], "repeat_purchases"]
        return len(self.known) > SEASON_HISTORY and purchases.any()

    def learn(self, rows, fits, index):
        """The index by week.

        Args:
            rows: histories at the cutoff, in days; see `fit_all`.
            fits: dictionary stratum -> (purchase model, parameters).
            index: the index by week that they were fitted with.
        """
        oldest = len(self.known) - 1
        purchases = self.known["repeat_purchases"].to_numpy("float64")
        learned = ~self.known["is_promotion"].to_numpy()
        length = self.length(index)[: len(self.known)]
        expected = np.zeros(len(self.known))
        for stratum, mine in rows.groupby("stratum"):
            first = oldest - mine["age_days"].to_numpy("int64")
            customers = np.bincount(first, mine["customers"], len(self.known))
            expected += expected_daily(*fits[stratum], customers, length)
        weeks = self.known["season_week"].to_numpy("int64")
        index = season_index(purchases[learned], expected[learned], weeks[learned])
        return np.round(index, 6)

    def warped(self, rows, index):
        """The rows with recency and age in warped time."""
        ago = self.time_ago(index)
        age, gap = rows["age_days"], rows["age_days"] - rows["recency_days"]
        age, gap = (ago.loc[v.astype("int64")].to_numpy() for v in (age, gap))
        return rows.assign(age_days=age, recency_days=age - gap)

    def length(self, index):
        """Length of each day."""
        of_week = index[self.days["season_week"].to_numpy("int64")]
        return of_week * self.days["promotion_weight"].to_numpy("float64")

    def time_ago(self, index):
        """Warped time from the end of each day to the cutoff, by days ago."""
        time = np.cumsum(self.length(index))
        return pd.Series(time[len(self.known) - 1] - time, index=self.days["days_ago"])


def season_text(index):
    """The index as it is stored."""
    return ",".join(f"{each:.6f}" for each in index)


def total_expected(rows, fits, ahead):
    """Purchases expected of all customers in the time ahead."""
    return sum(
        mine["customers"].to_numpy()
        @ expected_purchases(
            *fits[stratum],
            *(mine[c].to_numpy() for c in ("frequency", "recency_days", "age_days")),
            ahead,
        )
        for stratum, mine in rows.groupby("stratum")
    )


def parameters_of(found, model_version):
    """Dictionary stratum -> (purchase model, parameters) of one model version."""
    return {
        row["stratum"]: (
            row["purchase_model"],
            [row[name] for name in MODELS[row["purchase_model"]].names],
        )
        for row in found
        if row["model_version"] == model_version
    }


class Season:
    """Seasons of all cutoffs, learned in their order.

    Args:
        days: frame of int_season__days.
        observed: frame of int_season__observed.
        outcomes: frame of int_season__outcomes.
    """

    def __init__(self, days, observed, outcomes):
        days, observed, outcomes = (
            each.assign(cutoff_date=pd.to_datetime(each["cutoff_date"]))
            for each in (days, observed, outcomes)
        )
        days = days.assign(calendar_date=pd.to_datetime(days["calendar_date"])).merge(
            observed.assign(calendar_date=pd.to_datetime(observed["purchase_date"])),
            on=["cutoff_date", "calendar_date"],
            how="left",
        )
        days["repeat_purchases"] = days["repeat_purchases"].astype("float64").fillna(0)
        days["is_promotion"] = days["is_promotion"].astype("bool")
        self.calendars = {
            day: Calendar(mine) for day, mine in days.groupby("cutoff_date")
        }
        self.outcomes = {
            row.cutoff_date: (
                pd.Timestamp(row.known_from),
                float(row.purchases) / float(row.customers),
            )
            for row in outcomes.itertuples()
        }
        self.windows = []  # (known from, bias without a season, bias with it)

    def fit(self, cutoff, rows, plain, refit):
        """Fit in warped time, and say whether what was known by now speaks for it.

        Args:
            cutoff: a date; every earlier one must have been here before.
            rows: its histories.
            plain: dictionary stratum -> (purchase model, parameters), in days.
            refit: function of rows and engine -> fits, as rows and as dictionary.

        Returns:
            The fits in warped time, or None where they are not to be used; and what to
            say of the season in every row.
        """
        calendar = self.calendars[cutoff]
        ended = [biases for known_from, *biases in self.windows if known_from <= cutoff]
        without, within = np.mean(np.abs(ended), axis=0) if ended else (np.nan,) * 2
        told = {"bias_without_season": without, "bias_with_season": within}
        if not calendar.can_learn():
            return None, told
        # what was fitted without a season took part of it for dropout: hence two passes
        index = calendar.learn(rows, plain, np.ones(SEASON_WEEKS))
        _, fits = refit(calendar.warped(rows, index), engine=None)
        index = calendar.learn(rows, fits, index)
        warped = calendar.warped(rows, index)
        found, fits = refit(warped)
        if cutoff in self.outcomes:
            known_from, came = self.outcomes[cutoff]
            came *= rows["customers"].sum()
            ahead = (known_from - cutoff).days
            time = -calendar.time_ago(index).loc[-ahead]
            expected = (
                total_expected(rows, plain, ahead),
                total_expected(warped, fits, time),
            )
            if came > 0:
                self.windows.append((known_from, *(np.array(expected) / came - 1)))
        if len(ended) < SEASON_WINDOWS or not within < without:
            return None, told
        return found, told | {"season": season_text(index)}


# --- strata -------------------------------------------------------------------------


def lineage(stratum):
    """The stratum and its ancestors: "DE|online" -> "DE|online", "DE", "all"."""
    levels = stratum.split("|")
    parents = ["|".join(levels[:k]) for k in range(len(levels), 0, -1)]
    return parents if parents[-1] == "all" else [*parents, "all"]


def fit_strata(rows, wanted, min_customers, engine):
    """Parameters of every stratum of one cutoff, inherited where need be.

    Args:
        rows: frame of one cutoff, with stratum and what `fit_rows` needs.
        wanted: function of a stratum -> {model version: purchase model}.
        min_customers: a smaller stratum is not fitted; it inherits.
        engine: see `fit_rows`.

    Returns:
        list of dict: one per model version and stratum of `rows`.
    """
    sizes, fits = {}, {}

    def members(stratum):
        name = rows["stratum"]
        mine = (name == stratum) | name.str.startswith(stratum + "|")
        return rows if stratum == "all" else rows[mine]

    def size(stratum):
        if stratum not in sizes:
            sizes[stratum] = int(members(stratum)["customers"].sum())
        return sizes[stratum]

    def fitted(purchase_model, stratum, last_resort=False):
        key = (purchase_model, stratum, last_resort)
        if key not in fits:
            fits[key] = fit_rows(purchase_model, members(stratum), engine, last_resort)
        return fits[key]

    def resolve(model_version, purchase_model, stratum):
        notes, flagged = [], False
        for source in lineage(stratum):
            too_few = size(source) < min_customers
            if too_few:
                notes.append(f"{source}: {size(source)} customers, too few to fit")
                if source != "all":
                    continue
            fit = fitted(purchase_model, source)
            flagged |= too_few or fit["message"] != ""
            if fit["message"]:
                notes.append(f"{source}: {fit['message']}")
            if fit["converged"]:
                break
        else:
            fit = fitted(purchase_model, "all", last_resort=True)
            notes.append(f"all: penalised by {fit['penalizer']:g}")
        return {
            **fit,
            "model_version": model_version,
            "stratum": stratum,
            "fitted_stratum": source,
            "method": fit["method"] if source == stratum else "inherited",
            "is_flagged": bool(flagged),
            "message": "; ".join(notes),
        }

    return [
        resolve(model_version, purchase_model, stratum)
        for stratum in sorted(rows["stratum"].unique())
        for model_version, purchase_model in wanted(stratum).items()
    ]


def recipe_of(recipe, stratum):
    """The purchase model of a stratum: its own, an ancestor's, or the default."""
    named = [recipe[name] for name in lineage(stratum) if name in recipe]
    return (named or [recipe["default"]])[0]


def fit_all(
    histories,
    cutoffs,
    purchase_model="bgnbd",
    challengers=(),
    min_customers=1000,
    engine="own",
    season=None,
):
    """Parameters of every stratum at every cutoff, of the recipe and its challengers.

    The recipe's model version is the name of its purchase model, or "mixed" when its
    strata have different ones; a challenger's is its name. A recipe with a season has
    "_season" behind its name, and the same without one as a challenger.

    Args:
        histories: frame with stratum, cutoff_date, frequency, recency_days, age_days
            and customers, in any order and any numeric type.
        cutoffs: frame with cutoff_date and is_production.
        purchase_model: the recipe: a name in `MODELS`, or {stratum: name} with the key
            "default"; a stratum stands for those below it too.
        challengers: further names, fitted at the cutoffs that are not production.
        min_customers: a smaller stratum inherits the parameters of its parent.
        engine: "own" or "lifetimes".
        season: a `Season`, or None for a recipe without.

    Returns:
        DataFrame: the columns of `COLUMNS`, sorted by cutoff date, stratum and recipe
        first.

    Raises:
        ValueError: for an unknown engine or purchase model, for a stratum of the recipe
            that does not occur, or for impossible histories.
    """
    recipe = purchase_model
    if isinstance(recipe, str):
        recipe = {"default": recipe}
    unknown = {*recipe.values(), *challengers} - MODELS.keys()
    if unknown:
        raise ValueError(f"no purchase model {min(unknown)!r}; use {', '.join(MODELS)}")
    if engine not in ("own", "lifetimes"):
        raise ValueError(f"fit_engine is {engine!r}; use 'own' or 'lifetimes'")
    numbers = ["frequency", "recency_days", "age_days", "customers"]
    histories = histories.astype(
        {"stratum": "str", **dict.fromkeys(numbers, "float64")}
    )
    strata = {name for each in histories["stratum"].unique() for name in lineage(each)}
    absent = recipe.keys() - strata - {"default"}
    if absent and strata:
        raise ValueError(f"clv_purchase_model: there is no stratum {min(absent)!r}")
    names = set(recipe.values())
    version = names.pop() if len(names) == 1 else "mixed"
    dates = pd.to_datetime(cutoffs["cutoff_date"])
    production = set(dates[cutoffs["is_production"].astype(bool)])

    recipe_version = f"{version}_season" if season else version

    def fits(cutoff, rows):
        is_production = pd.Timestamp(cutoff) in production
        rivals = () if is_production else challengers

        def wanted(stratum):
            return {version: recipe_of(recipe, stratum), **{n: n for n in rivals}}

        def wanted_with_season(stratum):
            return {recipe_version: recipe_of(recipe, stratum)}

        def refit(warped, engine=engine):
            found = fit_strata(warped, wanted_with_season, min_customers, engine)
            return found, parameters_of(found, recipe_version)

        found = fit_strata(rows, wanted, min_customers, engine)
        if season is None:
            return found
        plain = [row for row in found if row["model_version"] == version]
        warped, told = season.fit(
            pd.Timestamp(cutoff), rows, parameters_of(plain, version), refit
        )
        rows = [{**row, "model_version": recipe_version} for row in warped or plain]
        rows = [{**row, **told} for row in rows] + ([] if is_production else found)
        return sorted(rows, key=lambda row: row["stratum"])

    return typed(
        {
            **row,
            "cutoff_date": pd.Timestamp(cutoff).date(),
            "is_recipe": row["model_version"] == recipe_version,
        }
        for cutoff, rows in histories.groupby("cutoff_date", sort=True)
        for row in fits(cutoff, rows)
    )


def typed(rows):
    """Frame of `COLUMNS`. Without a row, text and dates need types of their own."""
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    plain = {c: t for c, t in COLUMNS.items() if t not in ("str", "date")}
    if frame.empty:
        text = {"str": "string", "date": "date32[pyarrow]"}
        plain |= {c: text[t] for c, t in COLUMNS.items() if t in text}
    return frame.astype(plain)


def _to_pandas(relation):
    # DuckDB gives relations, BigQuery frames.
    return relation if isinstance(relation, pd.DataFrame) else relation.df()


def model(dbt, session):
    """Fit every stratum and cutoff of int_histories__compressed."""
    dbt.config(materialized="table")
    # dbt finds what a model asks of it in plain calls only
    days = _to_pandas(dbt.ref("int_season__days"))
    observed = _to_pandas(dbt.ref("int_season__observed"))
    outcomes = _to_pandas(dbt.ref("int_season__outcomes"))
    season = dbt.config.meta_get("season", "none")
    frame = fit_all(
        _to_pandas(dbt.ref("int_histories__compressed")),
        _to_pandas(dbt.ref("int_cutoffs")),
        dbt.config.meta_get("purchase_model", "bgnbd"),
        dbt.config.meta_get("challenger_models", []),
        int(dbt.config.meta_get("min_stratum_customers", 1000)),
        dbt.config.meta_get("fit_engine", "own"),
        Season(days, observed, outcomes) if season == "warped" else None,
    )
    return frame
