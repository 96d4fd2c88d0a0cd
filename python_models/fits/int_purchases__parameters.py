"""Purchase models, fitted by maximum likelihood on compressed purchase histories.

While alive a customer buys at rate lambda ~ Gamma(r, alpha). How they leave differs:

* bgnbd (Fader, Hardie & Lee 2005, "Counting Your Customers the Easy Way", Marketing
  Science 24(2)): after each repeat purchase, with probability p ~ Beta(a, b);
* mbgnbd (Batislam, Denizel & Filiztekin 2007, International Journal of Research in
  Marketing 24(3)): the same, also after the first purchase;
* paretonbd (Schmittlein, Morrison & Colombo 1987, Management Science 33(1); Fader &
  Hardie, note 009): at any time, at rate mu ~ Gamma(s, beta).

bgcnbd and mbgcnbd are bgnbd and mbgnbd of customers who buy more regularly (Reutterer,
Platzer & Schroeder 2021, International Journal of Research in Marketing 38(1)): a gap
is over once k stages have passed, each at rate lambda, so that gaps are Erlang(k). k is
the first maximum of the likelihood; k = 1 is the model without. auto is the likelier of
the two, under the name without stages where k = 1; all these have four parameters.

bgbb is the model of a monthly log (Fader, Hardie & Shang 2010, Marketing Science
29(6)): in each month after the first a customer leaves with probability theta ~
Beta(gamma, delta), and who has not left is active with probability p ~ Beta(alpha,
beta). gamma and delta are its columns a and b; r is null. Days become months: x active
months after the first, the last of them t_x months after it, of n that have ended. Of a
monthly log auto is bgbb: the other models have densities of days, with which its
probabilities of months cannot be compared.

Time is in days: alpha and beta are in days; r, a, b and s have no unit.

Grain: one row per model version, stratum and cutoff date of the histories, whatever
happens to its fit. The spec (var clv_purchase_model) is fitted at every cutoff, its
challengers at the backtest cutoffs. Every column from `fitted_stratum` on describes the
fit that supplied the parameters. In turn: plain maximum likelihood; other starts; the
parent stratum (drop the last level after "|", at last "all"); and, only where even
"all" has no interior optimum, a penalised fit. A row is flagged when a fit failed on
the way, when there were too few customers for any fit, or when `lifetimes`, the second
opinion, disagrees.

Season (var clv_season: auto): purchases come at rate lambda s(day), so that days are
replaced by the cumulative index s wherever the model reads time, and nothing else
changes: exact for lambda, and for dropout after a purchase. The index is that of weeks
of the year: repeat purchases over those that the fit without a season expects of the
same customers. A log that cannot tell it from growth is fitted with the index of seed
season_prior, and a longer one learns how it differs from that. It is used at a cutoff
only if it made the bias of windows smaller that had ended by then; where there can be
none of these, no season is fitted.
"""

import contextlib
import functools
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import minimize
from scipy.special import digamma, exprel, gammaln, polygamma, softmax, xlogy

PENALIZERS = (0.1, 1.0, 10.0)
RUNAWAY = 9.0  # |log parameter| beyond this: the likelihood rises towards infinity
TOLERANCE = 1e-4
NODES = 24  # quadrature over the time of leaving
NEGLIGIBLE = 32.0  # e-folds below its start at which an integrand is left out
SCOUTS = 20_000  # histories of the first climb where there are many more
FEW = 2_000  # histories up to which every start is tried: the best maximum counts
CHUNK = 4096  # histories whose endings are held at once
MOST_STAGES = 4  # of a gap
DROPOUT_NODES = 64  # quadrature over the dropout probability
MONTH = 365.25 / 12  # days
MOST_MONTHS = 24  # that lifetimes may read: it adds 1e-15 to a likelihood
SEASON_WEEKS = 52  # the last has eight days, or nine
WEEK_LENGTHS = np.array([7.0] * (SEASON_WEEKS - 1) + [8.25])
SEASON_HISTORY = 104 * 7  # days needed to distinguish a season from growth
SEASON_PRIOR = 30  # purchases that the prior of an index weighs
SEASON_LEAST = 0.02  # index of a week, so that time goes on
SEASON_WINDOWS = 2  # completed windows needed before a season is used
SEASON_GAIN = 0.1  # by which it must lower the mean absolute bias of these


# --- likelihood ---------------------------------------------------------------------


def group_histories(x, t_x, t, weight):
    """Check histories, and find their distinct x, for which gamma functions run once.

    Args:
        x: repeat purchase days, shape (n,).
        t_x: recency, first to last purchase, shape (n,), same unit as `t`.
        t: age, first purchase to cutoff, shape (n,).
        weight: customers with that history, shape (n,).

    Returns:
        (distinct x, weights); (x, t_x, t, weight).

    Raises:
        ValueError: for histories that cannot be (negative, or t_x beyond t).
    """
    x, t_x, t, weight = (np.asarray(v, float) for v in (x, t_x, t, weight))
    if not np.all((x >= 0) & (t_x >= 0) & (t_x <= t) & (weight > 0)):
        raise ValueError("histories need x >= 0, 0 <= t_x <= t and customers > 0")
    unique, index = np.unique(x, return_inverse=True)
    return (unique, np.bincount(index, weights=weight)), (x, t_x, t, weight)


def beta_geometric(params, x, t_x, t, k, first):
    """How a history may have ended: after the last purchase, or not by t.

    Fader, Hardie & Lee (2005), section 7; with gaps of k stages, of which j = 0 ...
    k - 1 have passed by t, Reutterer, Platzer & Schroeder (2021). What all endings have
    in common is left to `log_likelihood`.

    Args:
        params: (r, alpha, a, b).
        x: repeat purchase days, shape (n,).
        t_x: recency, shape (n,).
        t: age, shape (n,).
        k: stages of a gap.
        first: 1 when customers may leave after the first purchase, else 0. Where they
            may, they have stayed once more: b + 1 in place of b.

    Returns:
        Logs of the chances of each ending, shape (m, n); their slopes by the
        parameters, shape (4, m, n); function () -> {(i, j): second derivatives}.
    """
    r, alpha, a, b = params
    stage = np.arange(k)[:, None]
    shape = r + k * x
    steps = shape + stage[:-1]
    rate = alpha + np.vstack([np.broadcast_to(t, (k, len(t))), t_x])
    order = np.vstack([shape + stage, shape])
    inverse = 1 / rate
    slopes = np.zeros((4, k + 1, len(x)))
    slopes[0] = -np.log(rate)
    slopes[1] = -order * inverse
    parts = order * slopes[0]
    if k > 1:
        parts[1:k] += np.log(steps).cumsum(axis=0)
        parts[1:k] += xlogy(stage[1:], t - t_x) - gammaln(stage[1:] + 1)
        slopes[0, 1:k] += (1 / steps).cumsum(axis=0)
    leaves = x + first > 0
    stayed = np.where(leaves, b + first + x - 1, 1.0)
    parts[k] += np.where(leaves, np.log(a) - np.log(stayed), -np.inf)
    slopes[2, k] = 1 / a
    slopes[3, k] = -1 / stayed

    def bends():
        square = np.zeros_like(parts)
        square[1:k] = -(1 / steps**2).cumsum(axis=0)
        gone = np.arange(k + 1)[:, None] == k
        return {
            (0, 0): square,
            (0, 1): -inverse,
            (1, 1): order * inverse**2,
            (2, 2): gone * -(a**-2.0),
            (3, 3): gone / stayed**2,
        }

    return parts, slopes, bends


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


def pareto(params, x, t_x, t):
    """As `beta_geometric` for Pareto/NBD: gone at a node of `times_of_leaving`, or not.

    Of a customer, lambda and mu integrated out (Fader & Hardie, note 009, section 3):
    the sum of (alpha + t)^-(r + x) (beta + t)^-s, alive, and of the integral over the
    time of leaving u of s (alpha + u)^-(r + x) (beta + u)^-(s + 1). The integral is a
    sum over nodes; no hypergeometric function.
    """
    r, alpha, s, beta = params
    times, weights = times_of_leaving(x, t_x, t, r, alpha, beta)
    times = np.vstack([times, t])  # the last row: still alive at t
    left = np.ones((len(times), 1))
    left[-1] = 0
    log_a, log_b = np.log(alpha + times), np.log(beta + times)
    inv_a, inv_b = 1 / (alpha + times), 1 / (beta + times)
    parts = -(r + x) * log_a - (s + left) * log_b
    with np.errstate(divide="ignore"):  # nobody has left at t_x = t
        parts[:-1] += np.log(s * weights)
    slopes = np.array([-log_a, -(r + x) * inv_a, left / s - log_b, -(s + left) * inv_b])

    def bends():
        return {
            (0, 1): -inv_a,
            (1, 1): (r + x) * inv_a**2,
            (2, 2): np.broadcast_to(-left / s**2, parts.shape),
            (2, 3): -inv_b,
            (3, 3): (s + left) * inv_b**2,
        }

    return parts, slopes, bends


def in_months(recency, age):
    """Recency and age of a monthly log, days with purchases on the 15th, in months.

    From the 15th to the end of a month is half a month: what is left over of an age.
    """
    return np.round(np.divide(recency, MONTH)), np.floor(np.divide(age, MONTH))


def beta_bernoulli(params, x, t_x, n):
    """As `beta_geometric` for BG/BB: gone after month t_x, ..., n - 1, or not by n.

    Fader, Hardie & Shang (2010), equation (5). p and theta are integrated out of
    p^x (1 - p)^(j - x) theta (1 - theta)^j, and of (1 - theta)^n where j = n.
    """
    alpha, beta, gamma, delta = params
    month = t_x + np.arange(int(np.max(n - t_x)) + 1)[:, None]  # the last one alive
    possible = month <= n
    month = np.minimum(month, n)
    gone = (month < n).astype(float)
    idle, active = (month - x).astype(int), np.broadcast_to(x, month.shape).astype(int)
    month = month.astype(int)
    counts = np.arange(int(np.max(n)) + 2)

    def terms(function):
        """function(parameter + count) less function(parameter), by its count."""
        at = {
            "alpha": (alpha, active),
            "beta": (beta, idle),
            "alpha_beta": (alpha + beta, month),
            "gamma": (gamma, gone.astype(int)),
            "delta": (delta, month),
            "gamma_delta": (gamma + delta, month + gone.astype(int)),
        }
        return {
            name: (function(start + counts) - function(start))[count]
            for name, (start, count) in at.items()
        }

    ln = terms(gammaln)
    parts = ln["alpha"] + ln["beta"] - ln["alpha_beta"]
    parts += ln["gamma"] + ln["delta"] - ln["gamma_delta"]
    parts = np.where(possible, parts, -np.inf)
    slope = terms(digamma)
    slopes = np.array(
        [
            slope["alpha"] - slope["alpha_beta"],
            slope["beta"] - slope["alpha_beta"],
            slope["gamma"] - slope["gamma_delta"],
            slope["delta"] - slope["gamma_delta"],
        ]
    )

    def bends():
        bend = terms(functools.partial(polygamma, 1))
        return {
            (0, 0): bend["alpha"] - bend["alpha_beta"],
            (0, 1): -bend["alpha_beta"],
            (1, 1): bend["beta"] - bend["alpha_beta"],
            (2, 2): bend["gamma"] - bend["gamma_delta"],
            (2, 3): -bend["gamma_delta"],
            (3, 3): bend["delta"] - bend["gamma_delta"],
        }

    return parts, slopes, bends


def log_likelihood(purchase_model, log_params, grouped, with_hessian=False, k=1):
    """Log-likelihood of a purchase model with exact derivatives.

    Each history is a mixture of its endings (see `beta_geometric`), whose logs neither
    overflow nor underflow. Gaps of k stages add a constant, which is left out here.

    Args:
        purchase_model: a name in `MODELS`.
        log_params: logs of its parameters, shape (4,), in the unit of time, which is
            the month for BG/BB.
        grouped: the result of `group_histories`.
        with_hessian: whether the second derivatives are wanted.
        k: stages of a gap.

    Returns:
        Value; gradient, shape (4,), and Hessian, shape (4, 4) or None, both with
        respect to the log parameters.
    """
    params = np.exp(log_params)
    (ux, wx), histories = grouped
    value, gradient, h = 0.0, np.zeros(4), np.zeros((4, 4))
    if purchase_model == "bgbb":
        endings = beta_bernoulli
    else:
        r, alpha, a, b = params
        n, arrivals = wx.sum(), r + k * ux
        value = wx @ gammaln(arrivals) + n * (r * np.log(alpha) - gammaln(r))
        gradient[0] = wx @ digamma(arrivals) + n * (np.log(alpha) - digamma(r))
        gradient[1] = n * r / alpha
        h[0, 0] = wx @ polygamma(1, arrivals) - n * polygamma(1, r)
        h[0, 1] = n / alpha
        h[1, 1] = -n * r / alpha**2
    if purchase_model == "paretonbd":
        endings = pareto
        value += n * a * np.log(b)
        gradient[2:] = n * np.log(b), n * a / b
        h[2, 3], h[3, 3] = n / b, -n * a / b**2
    elif purchase_model != "bgbb":
        first = int(purchase_model.startswith("m"))
        endings = functools.partial(beta_geometric, k=k, first=first)
        stay, all_in = b + first + ux, a + b + first + ux
        value += wx @ (gammaln(stay) - gammaln(all_in))
        value += n * (gammaln(a + b) - gammaln(b))
        gradient[2] = n * digamma(a + b) - wx @ digamma(all_in)
        gradient[3] = gradient[2] + wx @ digamma(stay) - n * digamma(b)
        h[2, 2] = h[2, 3] = n * polygamma(1, a + b) - wx @ polygamma(1, all_in)
        h[3, 3] = h[2, 2] + wx @ polygamma(1, stay) - n * polygamma(1, b)
    for start in range(0, len(histories[0]), CHUNK):
        *history, w = (v[start : start + CHUNK] for v in histories)
        parts, slopes, bends = endings(params, *history)
        highest = parts.max(axis=0)
        share = np.exp(parts - highest)
        total = share.sum(axis=0)
        share /= total
        value += w @ (highest + np.log(total))
        mean = np.einsum("imn,mn->in", slopes, share)
        gradient += mean @ w
        if with_hessian:
            share *= w
            for place, bend in bends().items():
                h[place] += np.einsum("mn,mn->", bend, share)
            h += np.triu(np.einsum("imn,jmn,mn->ij", slopes, slopes, share))
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
        names: its parameters; alpha and beta are in the unit of time, but for BG/BB.
        starts: logs of its parameters, times relative to the longest age. The first
            start is neutral, the others are sparse retail (CDNOW) and frequent grocery
            (Complete Journey).
        anchor: centre of the last-resort penalty, between published fits of retail.
        fitter: its name in lifetimes.
        opinion_rows: histories the second opinion reads at most; Nelder-Mead is slow.
        most_stages: stages of a gap that are tried.
    """

    names: tuple[str, ...]
    starts: np.ndarray
    anchor: np.ndarray
    fitter: str
    opinion_rows: int
    most_stages: int = 1


MODELS = {
    "bgnbd": PurchaseModel(
        ("r", "alpha", "a", "b"),
        np.log([[1, 1, 1, 1], [0.25, 0.1, 0.8, 2.5], [1.4, 0.04, 0.07, 50]]),
        np.log([0.5, 0.2, 0.7, 3]),
        "BetaGeoFitter",
        25_000,
    ),
    "mbgnbd": PurchaseModel(
        ("r", "alpha", "a", "b"),
        np.log([[1, 1, 1, 1], [0.5, 0.15, 0.9, 1.6], [1.4, 0.04, 0.07, 50]]),
        np.log([0.7, 0.3, 0.7, 2]),
        "ModifiedBetaGeoFitter",
        25_000,
    ),
    "paretonbd": PurchaseModel(
        ("r", "alpha", "s", "beta"),
        np.log([[1, 1, 1, 1], [0.55, 0.27, 0.6, 0.3], [1.5, 0.04, 2, 4]]),
        np.log([0.7, 0.3, 0.6, 0.6]),
        "ParetoNBDFitter",
        2_000,
    ),
    "bgbb": PurchaseModel(
        ("alpha", "beta", "a", "b"),
        np.log([[1, 1, 1, 1], [1.2, 0.75, 0.66, 2.8], [0.5, 3, 0.5, 10]]),
        np.log([0.8, 2, 0.6, 5]),
        "BetaGeoBetaBinomFitter",
        25_000,
    ),
}
for name in ("bg", "mbg"):
    MODELS[f"{name}cnbd"] = MODELS[f"{name}nbd"]._replace(most_stages=MOST_STAGES)
ONE_STAGE = ("bgnbd", "mbgnbd", "paretonbd", "bgbb")
AUTO = ("bgcnbd", "mbgcnbd")
NAMES = ("r", "alpha", "a", "b", "s", "beta")
COLUMNS = {
    "model_version": "str",
    "stratum": "str",
    "cutoff_date": "date",
    "is_current_spec": "bool",
    "purchase_model": "str",
    "fitted_stratum": "str",
    "method": "str",
    "converged": "bool",
    "is_flagged": "bool",
    "message": "str",
    "penalizer": "float64",
    "customers": "int64",
    "histories": "int64",
    "k": "int64",
    **dict.fromkeys(NAMES, "float64"),
    **{f"se_{name}": "float64" for name in NAMES},
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
    """First climb: L-BFGS-B with the gradient, to a point near a maximum."""

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


def fit_purchases(
    purchase_model, x, t_x, t, weight=None, penalizer=0.0, k=1, ln_gaps=0.0
):
    """Maximum-likelihood fit of one purchase model on weighted histories.

    Args:
        purchase_model: a name in `MODELS`.
        x: repeat purchase days, shape (n,).
        t_x: recency, shape (n,), same unit as `t`; of BG/BB in months.
        t: age at the cutoff, shape (n,).
        weight: customers with that history, shape (n,); 1 each by default.
        penalizer: zero for the plain fit; otherwise each log parameter has a normal
            prior around the anchor with variance 1 / penalizer (times relative to the
            longest age), so that its weight fades as customers are added.
        k: stages of a gap.
        ln_gaps: sum of the logs of all gaps, in the unit of `t`; with k stages the
            likelihood has it as a factor of k - 1.

    Returns:
        dict: k; params, with times in the unit of `t`; cov_ln, covariance
        of their logs, shape (4, 4); log_likelihood on the scale of `t`, without the
        penalty; converged, whether it is an interior maximum; method.

    Raises:
        ValueError: for impossible histories.
    """
    kind = MODELS[purchase_model]
    faster = np.log([1, k, 1, 1])  # stages pass k times as fast as gaps
    anchor, starts = kind.anchor - faster, kind.starts - faster
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, float)
    scale = 1.0 if purchase_model == "bgbb" else np.max(t) or 1.0
    t_x, t = np.divide(t_x, scale), np.divide(t, scale)
    histories = np.asarray(x, float), t_x, t, weight
    grouped = group_histories(*histories)

    def objective_of(grouped):
        customers = grouped[0][1].sum()

        def objective(point, with_hessian):
            value, gradient, hessian = log_likelihood(
                purchase_model, point, grouped, with_hessian, k
            )
            value -= penalizer / 2 * np.sum((point - anchor) ** 2)
            gradient = gradient - penalizer * (point - anchor)
            if with_hessian:
                hessian = (hessian - penalizer * np.eye(4)) / customers
            return value / customers, gradient / customers, hessian

        return objective

    objective = objective_of(grouped)
    # Of very many histories a sample suffices for the climb; the last steps use all.
    ways = [objective]
    if len(t) > 2 * SCOUTS:
        few = np.linspace(0, len(t) - 1, SCOUTS).round().astype(int)
        ways = [objective_of(group_histories(*(v[few] for v in histories))), *ways]
    best = ()
    for start in [anchor] if penalizer else starts:
        for way in ways:
            near = ascend(way, start, [(-12, 12)] * 4)
            point, cov_ln, interior = polish(objective, near)
            if interior:
                break
        found = bool(interior), objective(point, False)[0]
        if not best or found > (best[0], best[1] + 1e-9):
            method = "mle_restart" if best else "mle"
            best = *found, point, cov_ln
        if interior and len(t) > FEW:
            break
    interior, _, point, cov_ln = best
    value = log_likelihood(purchase_model, point, grouped, k=k)[0]
    params = np.exp(point)
    params[[name in ("alpha", "beta") for name in kind.names]] *= scale
    repeats = weight @ histories[0]
    value += (k - 1) * ln_gaps - repeats * (k * np.log(scale) + gammaln(k))
    return {
        "k": k,
        "params": params,
        "cov_ln": cov_ln / weight.sum(),
        "log_likelihood": value,
        "converged": interior,
        "method": "penalized" if penalizer else method,
    }


def fit_stages(purchase_model, histories, ln_gaps, **options):
    """`fit_purchases` with the stages of a gap that are likeliest, from one on.

    Args:
        purchase_model: a name in `MODELS`, or "auto" for the likeliest of `AUTO`.
        histories: (x, t_x, t, weight).
        ln_gaps: see `fit_purchases`.
        options: of `fit_purchases`.

    Returns:
        dict: as `fit_purchases`, with purchase_model.
    """
    likeliest = []
    for name in AUTO if purchase_model == "auto" else [purchase_model]:
        best = None
        for k in range(1, MODELS[name].most_stages + 1):
            fit = fit_purchases(name, *histories, k=k, ln_gaps=ln_gaps, **options)
            if best and fit["log_likelihood"] <= best["log_likelihood"]:
                break
            best = {**fit, "purchase_model": name}
        likeliest.append(best)
    best = max(likeliest, key=lambda fit: fit["log_likelihood"])
    if purchase_model == "auto" and best["k"] == 1:
        best["purchase_model"] = best["purchase_model"].replace("c", "")
    return best


def fit_likeliest(purchase_model, rows, **options):
    """`fit_stages`, whose choice a sample makes where there are very many customers.

    Args:
        purchase_model: as of `fit_stages`.
        rows: frame of distinct histories with frequency, recency_days, age_days,
            customers, sampled_customers (those whose gaps are known) and their ln_gaps.
        options: of `fit_purchases`.

    Returns:
        dict: as `fit_stages`.
    """
    keys = ["frequency", "recency_days", "age_days"]
    sample = rows[rows["sampled_customers"] > 0]
    ln_gaps = sample["ln_gaps"].sum()

    def histories(rows, customers):
        return tuple(rows[c].to_numpy("float64") for c in [*keys, customers])

    everyone = histories(rows, "customers")
    is_whole = sample["sampled_customers"].sum() == rows["customers"].sum()
    if is_whole or purchase_model in ONE_STAGE:
        return fit_stages(purchase_model, everyone, ln_gaps, **options)
    picked = fit_stages(
        purchase_model, histories(sample, "sampled_customers"), ln_gaps, **options
    )
    purchases = rows["frequency"] @ rows["customers"]
    ln_gaps *= purchases / max(sample["frequency"] @ sample["sampled_customers"], 1)
    name, k = picked["purchase_model"], picked["k"]
    fit = fit_purchases(name, *everyone, k=k, ln_gaps=ln_gaps, **options)
    return {**fit, "purchase_model": name}


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
    on ages scaled to at most one; here it is converted back.

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
    value += np.dot(weight, x) * np.log(getattr(fitter, "_scale", 1.0))
    found = fitter.params_.rename({"gamma": "a", "delta": "b"})
    return found[list(kind.names)].to_numpy("float64"), value


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
    rows = np.arange(len(histories[0]))
    if purchase_model == "bgbb":
        rows = rows[histories[2] <= MOST_MONTHS]
    if len(rows) > max_rows:
        rows = rows[np.linspace(0, len(rows) - 1, max_rows).round().astype(int)]
    if len(rows) < len(histories[0]):
        histories = tuple(v[rows] for v in histories)
        own = len(rows) and fit_purchases(purchase_model, *histories)
        if not own or not own["converged"]:  # those few have no optimum to compare
            gaps = (np.nan,) * 2
            return {"params": None, "seen": 0, "gaps": gaps, "message": ""}
    seen = int(histories[3].sum())
    try:
        params, value = lifetimes_fit(purchase_model, *histories)
    except Exception as error:  # the comparison must not stop the build
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
        purchase_model: a name in `MODELS`, or "auto".
        rows: frame with the columns of `fit_likeliest`.
        engine: "own", "lifetimes" to take the estimates of lifetimes, or None for our
            own without a second opinion.
        last_resort: fit with the smallest penalty that gives an interior maximum.

    Returns:
        dict: columns of the output that describe the fit.
    """
    keys = ["frequency", "recency_days", "age_days"]
    sums = ["customers", "sampled_customers", "ln_gaps"]
    if purchase_model == "bgbb":
        recency, age = in_months(rows["recency_days"], rows["age_days"])
        rows = rows.assign(recency_days=recency, age_days=age)
    rows = rows.groupby(keys, as_index=False)[sums].sum()
    histories = tuple(rows[c].to_numpy("float64") for c in [*keys, "customers"])
    message, opinion, penalizer = "", {"seen": 0, "gaps": (np.nan, np.nan)}, 0.0
    if last_resort:
        for penalizer in PENALIZERS:
            fit = fit_likeliest(purchase_model, rows, penalizer=penalizer)
            if fit["converged"]:
                break
    else:
        fit = fit_likeliest(purchase_model, rows)
        purchase_model = fit["purchase_model"]
        if not fit["converged"]:
            message = "no interior optimum"
        elif engine and fit["k"] == 1:  # lifetimes knows no stages
            rows_read = MODELS[purchase_model].opinion_rows
            seen = rows_read if engine == "own" else np.inf
            opinion = second_opinion(purchase_model, histories, fit, seen)
            message = opinion["message"]
            if engine == "lifetimes" and purchase_model != "bgbb":
                fit = adopt(purchase_model, opinion["params"], histories, fit)
    kind = MODELS[fit["purchase_model"]]
    se = fit["params"] * np.sqrt(np.diag(fit["cov_ln"]))
    return {
        "purchase_model": fit["purchase_model"],
        "method": fit["method"],
        "converged": fit["converged"],
        "message": message,
        "penalizer": penalizer,
        "customers": int(histories[3].sum()),
        "histories": len(rows),
        "k": fit["k"],
        **dict(zip(kind.names, fit["params"], strict=True)),
        **{f"se_{name}": v for name, v in zip(kind.names, se, strict=True)},
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
    value, _, hessian = log_likelihood(
        purchase_model, np.log(params), group_histories(*histories), with_hessian=True
    )
    return {
        "purchase_model": purchase_model,
        "k": 1,
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


def share_gone(p, shape, stretch, stage=0, k=1):
    """Expected 1 - (1 - p)^m after n arrivals, m = floor((n + stage) / k) purchases.

    n ~ NegBin(shape, 1 / (1 + stretch)), whose generating function is known: powers of
    n, weighted by roots of unity, make the floor.
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


def expected_purchases(purchase_model, params, k, x, t_x, t, ahead):
    """Purchase days expected of customers in the time ahead.

    P(alive) times the expectation given alive: the formulas of
    macros/clv/probability_alive.sql and of int_expectations.

    Args:
        purchase_model: a name in `MODELS`.
        params: its parameters.
        k: stages of a gap.
        x: repeat purchase days, shape (n,).
        t_x: recency, shape (n,).
        t: age, shape (n,).
        ahead: time ahead, a number or of shape (n,).

    Returns:
        Array of shape (n,).
    """
    x, t_x, t = (np.asarray(v, float) for v in (x, t_x, t))
    ahead = np.broadcast_to(np.asarray(ahead, float), x.shape)
    r, alpha, a, b = params
    if purchase_model == "paretonbd":
        parts, *_ = pareto(params, x, t_x, t)
        stretch = np.log1p(ahead / (b + t))
        left = (b + t) * stretch * exprel((1 - a) * stretch)
        return softmax(parts, axis=0)[-1] * (r + x) / (alpha + t) * left
    first = int(purchase_model.startswith("m"))
    with np.errstate(invalid="ignore"):
        parts, *_ = beta_geometric(params, x, t_x, t, k, first)
    weights = softmax(parts, axis=0)[:k]
    out = np.zeros(len(x))
    for each in np.unique(x):
        rows = x == each
        p, weight = beta_quadrature(a, b + first + each, DROPOUT_NODES)
        stretch = (ahead[rows] / (alpha + t[rows]))[:, None]
        for stage in range(k):
            gone = share_gone(p, r + k * each + stage, stretch, stage, k)
            out[rows] += weights[stage, rows] * (gone @ (weight / p))
    return out


def expected_daily(purchase_model, params, k, customers, length):
    """Repeat purchase days expected on each day, were all days of length 1.

    Args:
        purchase_model: a name in `MODELS`.
        params: its parameters, in the time that the lengths make.
        k: stages of a gap.
        customers: customers by the day of their first purchase, shape (days,).
        length: length of each day, shape (days,).

    Returns:
        Array of shape (days,).
    """
    time = np.cumsum(length)
    grid = np.arange(time[-1] + 1)
    new = np.zeros(len(grid))
    curve = expected_purchases(purchase_model, params, k, new, new, new, grid)
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
    expected = expected * (purchases.sum() / expected.sum())
    prior = np.ones(SEASON_WEEKS)
    for group in (np.arange(SEASON_WEEKS) // 4, np.arange(SEASON_WEEKS)):
        actual, due = (
            np.bincount(group[weeks], v, len(prior)) for v in (purchases, expected)
        )
        ratio = (actual[group] + SEASON_PRIOR * prior) / (due[group] + SEASON_PRIOR)
        prior = ratio / np.average(ratio, weights=WEEK_LENGTHS)
    return normalised(prior)


def prior_season(days):
    """The index of seed season_prior by week, on average 1; None where there is none.

    Raises:
        ValueError: if it has some weeks of the year and not all.
    """
    by_week = days.groupby("season_week")["prior_index"].first().astype("float64")
    if by_week.isna().all():
        return None
    if by_week.isna().any():
        raise ValueError(
            f"season_prior.csv has {by_week.notna().sum()} weeks of the year: it needs "
            "all 52, or none"
        )
    # A week that no day of the calendar is in is not read.
    index = by_week.reindex(range(SEASON_WEEKS), fill_value=by_week.mean())
    return np.round(normalised(index.to_numpy()), 6)


def normalised(index):
    """An index by week, on average 1 over the days of a year."""
    index = np.maximum(index, SEASON_LEAST)
    return index / np.average(index, weights=WEEK_LENGTHS)


class Calendar:
    """Days around a cutoff, with their season and purchases.

    Args:
        days: frame of one cutoff with days_ago (negative after it), season_week,
            prior_index, is_promotion, promotion_weight, and repeat_purchases.
    """

    def __init__(self, days):
        self.days = days.sort_values("days_ago", ascending=False, ignore_index=True)
        self.known = self.days[self.days["days_ago"] >= 0]
        self.prior = prior_season(days)

    def can_learn(self):
        """Whether a season can be distinguished from growth."""
        purchases = self.known.loc[~self.known["is_promotion"], "repeat_purchases"]
        return len(self.known) > SEASON_HISTORY and purchases.any()

    def can_try(self):
        """Whether there is a season to fit with, learned or from elsewhere."""
        return self.prior is not None or self.can_learn()

    def learn(self, rows, fits, index):
        """The index by week.

        Args:
            rows: histories at the cutoff, in days; see `fit_all`.
            fits: dictionary stratum -> (purchase model, parameters, k).
            index: the index by week that they were fitted with.
        """
        if not self.can_learn():
            return self.prior
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
        base = np.ones(SEASON_WEEKS) if self.prior is None else self.prior
        expected *= base[weeks]
        index = season_index(purchases[learned], expected[learned], weeks[learned])
        return np.round(normalised(base * index), 6)

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
    """Dictionary stratum -> (purchase model, parameters, k) of one model version."""
    return {
        row["stratum"]: (
            row["purchase_model"],
            [row[name] for name in MODELS[row["purchase_model"]].names],
            row["k"],
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

    def can_be_used(self):
        """Whether there are windows enough from which a season could be proven."""
        tried = sum(self.calendars[day].can_try() for day in self.outcomes)
        return tried >= SEASON_WINDOWS

    def fit(self, cutoff, rows, plain, refit):
        """Fit in warped time, and decide from completed windows whether to use it.

        Args:
            cutoff: a date; every earlier one must have been here before.
            rows: its histories.
            plain: dictionary stratum -> (purchase model, parameters, k), in days.
            refit: function of rows and engine -> fits, as rows and as dictionary.

        Returns:
            The fits in warped time, or None where they are not to be used; and what to
            say of the season in every row.
        """
        calendar = self.calendars[cutoff]
        ended = [biases for known_from, *biases in self.windows if known_from <= cutoff]
        without, within = np.mean(np.abs(ended), axis=0) if ended else (np.nan,) * 2
        told = {"bias_without_season": without, "bias_with_season": within}
        is_better = (
            len(ended) >= SEASON_WINDOWS and within < (1 - SEASON_GAIN) * without
        )
        if not calendar.can_try() or not (is_better or cutoff in self.outcomes):
            return None, told
        # a fit without a season takes part of it for dropout: hence two passes
        index = calendar.learn(rows, plain, np.ones(SEASON_WEEKS))
        _, fits = refit(calendar.warped(rows, index), engine=None)
        index = calendar.learn(rows, fits, index)
        warped = calendar.warped(rows, index)
        found, fits = refit(warped)
        if cutoff in self.outcomes:
            known_from, actual = self.outcomes[cutoff]
            actual *= rows["customers"].sum()
            ahead = (known_from - cutoff).days
            time = -calendar.time_ago(index).loc[-ahead]
            expected = (
                total_expected(rows, plain, ahead),
                total_expected(warped, fits, time),
            )
            if actual > 0:
                self.windows.append((known_from, *(np.array(expected) / actual - 1)))
        if not is_better:
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

    @functools.cache
    def members(stratum):
        name = rows["stratum"]
        mine = (name == stratum) | name.str.startswith(stratum + "|")
        return rows if stratum == "all" else rows[mine]

    @functools.cache
    def fitted(purchase_model, stratum, last_resort=False):
        return fit_rows(purchase_model, members(stratum), engine, last_resort)

    def resolve(model_version, purchase_model, stratum):
        notes, flagged = [], False
        for source in lineage(stratum):
            customers = int(members(source)["customers"].sum())
            too_few = customers < min_customers
            if too_few:
                notes.append(f"{source}: {customers} customers, too few to fit")
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


def spec_of(spec, stratum):
    """The purchase model of a stratum: its own, an ancestor's, or the default."""
    named = [spec[name] for name in lineage(stratum) if name in spec]
    return (named or [spec["default"]])[0]


def fit_all(
    histories,
    cutoffs,
    purchase_model="bgnbd",
    challengers=(),
    min_customers=1000,
    engine="own",
    season=None,
    is_monthly=False,
):
    """Parameters of every stratum at every cutoff, of the spec and its challengers.

    The spec's model version is the name of its purchase model, or "mixed" when its
    strata have different ones; a challenger's is its name. Where a season can be
    proven, "_season" is behind its name, and where one is used, the same without it is
    a challenger.

    Args:
        histories: frame with stratum, cutoff_date, frequency, recency_days, age_days,
            customers, sampled_customers and ln_gaps, in any order and any numeric type;
            ln_gaps is the sum of the logs of the gaps in days of sampled_customers.
            Where no model has stages they are everyone, and it is 0.
        cutoffs: frame with cutoff_date and is_production.
        purchase_model: the spec: a name in `MODELS`, "auto" (see `fit_stages`), or
            {stratum: name} with the key "default"; a stratum stands for those below it
            too.
        challengers: further names, fitted at the cutoffs that are not production.
        min_customers: a smaller stratum inherits the parameters of its parent.
        engine: "own" or "lifetimes".
        season: a `Season`, or None to look for none.
        is_monthly: whether the log is monthly, of which "auto" is bgbb.

    Returns:
        DataFrame: the columns of `COLUMNS`, sorted by cutoff date, stratum and spec
        first.

    Raises:
        ValueError: for an unknown engine or purchase model, for a stratum of the spec
            that does not occur, or for impossible histories.
    """
    spec = purchase_model
    if isinstance(spec, str):
        spec = {"default": spec}
    if is_monthly:
        spec = {n: "bgbb" if v == "auto" else v for n, v in spec.items()}
    unknown = {*spec.values(), *challengers} - {"auto", *MODELS}
    if unknown:
        raise ValueError(f"no purchase model {min(unknown)!r}; use {', '.join(MODELS)}")
    if engine not in ("own", "lifetimes"):
        raise ValueError(f"fit_engine is {engine!r}; use 'own' or 'lifetimes'")
    numbers = ["frequency", "recency_days", "age_days"]
    numbers += ["customers", "sampled_customers", "ln_gaps"]
    histories = histories.astype(
        {"stratum": "str", **dict.fromkeys(numbers, "float64")}
    )
    strata = {name for each in histories["stratum"].unique() for name in lineage(each)}
    absent = spec.keys() - strata - {"default"}
    if absent and strata:
        raise ValueError(f"clv_purchase_model: there is no stratum {min(absent)!r}")
    names = set(spec.values())
    version = names.pop() if len(names) == 1 else "mixed"
    dates = pd.to_datetime(cutoffs["cutoff_date"])
    production = set(dates[cutoffs["is_production"].astype(bool)])

    if season and not season.can_be_used():
        season = None
    spec_version = f"{version}_season" if season else version

    def fits(cutoff, rows):
        is_production = pd.Timestamp(cutoff) in production
        rivals = () if is_production else challengers

        def wanted(stratum):
            return {version: spec_of(spec, stratum), **{n: n for n in rivals}}

        def wanted_with_season(stratum):
            return {spec_version: spec_of(spec, stratum)}

        def refit(warped, engine=engine):
            found = fit_strata(warped, wanted_with_season, min_customers, engine)
            return found, parameters_of(found, spec_version)

        found = fit_strata(rows, wanted, min_customers, engine)
        if season is None:
            return found
        plain = [row for row in found if row["model_version"] == version]
        warped, told = season.fit(
            pd.Timestamp(cutoff), rows, parameters_of(plain, version), refit
        )
        rows = [{**row, "model_version": spec_version} for row in warped or plain]
        others = [row for row in found if warped or row["model_version"] != version]
        rows = [{**row, **told} for row in rows] + ([] if is_production else others)
        return sorted(rows, key=lambda row: row["stratum"])

    return typed(
        {
            **row,
            "cutoff_date": pd.Timestamp(cutoff).date(),
            "is_current_spec": row["model_version"] == spec_version,
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
    # dbt finds config keys in literal calls only
    days = _to_pandas(dbt.ref("int_season__days"))
    observed = _to_pandas(dbt.ref("int_season__observed"))
    outcomes = _to_pandas(dbt.ref("int_season__outcomes"))
    season = dbt.config.meta_get("season", "none")
    period = dbt.config.meta_get("period", "day")
    frame = fit_all(
        _to_pandas(dbt.ref("int_histories__compressed")),
        _to_pandas(dbt.ref("int_cutoffs")),
        dbt.config.meta_get("purchase_model", "auto"),
        dbt.config.meta_get("challenger_models", []),
        int(dbt.config.meta_get("min_stratum_customers", 1000)),
        dbt.config.meta_get("fit_engine", "own"),
        Season(days, observed, outcomes)
        if season == "auto" and period != "month"
        else None,
        period == "month",
    )
    return frame
