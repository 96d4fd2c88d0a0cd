"""Gamma-Gamma parameters, fitted by maximum likelihood on compressed purchase values.

Model: Fader & Hardie (2013), "The Gamma-Gamma Model of Monetary Value",
brucehardie.com/notes/025. The value of each purchase day of a customer is
Gamma(p, nu) and their nu is Gamma(q, gamma). p and q have no unit; gamma is money. All
purchase days count (n = x + 1), not only repeats, so that one-time buyers get a
shrunken value of their own.

Customers arrive in bins of purchase days and of the log of their mean value z. In the
likelihood ln(gamma + n z) is replaced by its second-order mean over the bin,
ln(gamma + n m) - n^2 v / (2 (gamma + n m)^2), with m and v the mean and variance of z
there; the other term, ln z, enters by its mean, exactly.

Means alone hardly identify p: the shares of a customer's days in their total, which are
Dirichlet(p, ..., p) for any nu, do. Together they are the likelihood of every single
value. The shares enter by the sum of their logs per bin, over the customers whose days
all have a value above zero.

Grain: one row per stratum and cutoff date of the values, whatever happens to its fit.
Every column but these two describes the fit that supplied the parameters. In turn:
plain maximum likelihood; other starts; the parent stratum (drop the last level after
"|", at last "all"); and, only where even "all" has no interior optimum with q > 1, a
penalised fit with q of at least 1.5, and p and q of at most 3,000: where all values are
alike they are as large as they may be, and the fit is as good as any. With q <= 1 the
mean value over customers is infinite, so that such a fit counts as failed. A row is
flagged when a fit failed on the way, when there were too few customers for any fit,
when q is so near 1 that a few customers dominate the mean, or when a refit to means
alone by `lifetimes` differs.
"""

import contextlib
import functools
import warnings

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import digamma, gammaln, polygamma

NAMES = ("p", "q", "gamma")
COLUMNS = {
    "stratum": "str",
    "cutoff_date": "date",
    "fitted_stratum": "str",
    "method": "str",
    "converged": "bool",
    "is_flagged": "bool",
    "message": "str",
    "penalizer": "float64",
    "customers": "int64",
    "bins": "int64",
    **dict.fromkeys(NAMES, "float64"),
    **{f"se_{name}": "float64" for name in NAMES},
    "population_mean_value": "float64",
    "rate_value_correlation": "float64",
    "log_likelihood": "float64",
    "lifetimes_customers": "int64",
    "lifetimes_parameter_difference": "float64",
    "lifetimes_log_likelihood_difference": "float64",
}

# Logs of (p, q, gamma / mean value). The first start is neutral; the others are CDNOW
# and grocery (Complete Journey, p < 1). All are tried: the best maximum counts.
STARTS = np.log([[1, np.e, 1], [6, 3.7, 0.45], [0.6, 3.7, 4.5]])
# Centre of the last-resort penalty; it implies the observed mean: p gamma = q - 1.
ANCHOR = np.log([2, 3, 1])
PENALIZERS = (0.1, 1.0, 10.0)
LOWEST_Q = 1.5  # in the last resort: well above 1, where the mean is infinite
DOUBTFUL_Q = 1.1  # flagged below it
RUNAWAY = 9.0  # |log parameter| beyond this: the likelihood rises towards infinity
FURTHEST = 8.0  # |log parameter| in the last resort
TOLERANCE = 1e-4
LIFETIMES_TOLERANCES = (1e-7, 1e-6, 1e-5)


# --- likelihood ---------------------------------------------------------------------


def log_likelihood(
    log_params,
    n,
    mean,
    variance,
    mean_ln,
    weight,
    sharers=0.0,
    ln_shares=0.0,
    with_hessian=False,
):
    """Gamma-Gamma log-likelihood of binned customers with exact derivatives.

    Fader & Hardie (2013), equation 1a, with the bin's second-order mean of
    ln(gamma + n z), and the Dirichlet density of the shares of single days.

    Args:
        log_params: logs of (p, q, gamma), shape (3,); gamma in the unit of `mean`.
        n: purchase days, shape (m,).
        mean: mean over the bin of the customers' mean value, shape (m,).
        variance: its population variance within the bin, shape (m,).
        mean_ln: mean over the bin of the log of the customers' mean value, shape (m,).
        weight: customers, shape (m,).
        sharers: those of them whose shares are known, shape (m,).
        ln_shares: sum over them and their days of the log of a day's share, shape (m,).
        with_hessian: whether the second derivatives are wanted.

    Returns:
        Value; gradient, shape (3,), and Hessian, shape (3, 3) or None, both with
        respect to the log parameters.
    """
    p, q, gamma = params = np.exp(log_params)
    total = gamma + n * mean
    bend = n**2 * variance
    e = np.log(total) - bend / (2 * total**2)  # E ln(gamma + n z) over the bin
    e1 = 1 / total + bend / total**3

    value = weight @ (
        gammaln(p * n + q)
        - gammaln(p * n)
        - gammaln(q)
        + q * np.log(gamma)
        + (p * n - 1) * mean_ln
        + p * n * np.log(n)
        - (p * n + q) * e
    )
    value += np.sum((p - 1) * ln_shares + sharers * (gammaln(p * n) - n * gammaln(p)))
    d_pnq = digamma(p * n + q)
    gradient = np.array(
        [
            weight @ (n * (d_pnq - digamma(p * n) + mean_ln + np.log(n) - e)),
            weight @ (d_pnq - digamma(q) + np.log(gamma) - e),
            weight @ (q / gamma - (p * n + q) * e1),
        ]
    )
    gradient[0] += np.sum(ln_shares + sharers * n * (digamma(p * n) - digamma(p)))
    if not with_hessian:
        return value, gradient * params, None

    t_pnq = polygamma(1, p * n + q)
    e2 = -1 / total**2 - 3 * bend / total**4
    h = np.zeros((3, 3))
    h[0, 0] = weight @ (n**2 * (t_pnq - polygamma(1, p * n)))
    h[0, 0] += np.sum(sharers * n * (n * polygamma(1, p * n) - polygamma(1, p)))
    h[0, 1] = weight @ (n * t_pnq)
    h[0, 2] = -weight @ (n * e1)
    h[1, 1] = weight @ (t_pnq - polygamma(1, q))
    h[1, 2] = weight @ (1 / gamma - e1)
    h[2, 2] = weight @ (-q / gamma**2 - (p * n + q) * e2)
    h = np.triu(h) + np.triu(h, 1).T
    return (
        value,
        gradient * params,
        h * np.outer(params, params) + np.diag(gradient * params),
    )


# --- fit ----------------------------------------------------------------------------


def climb(objective, start, bounds):
    """Climb to a maximum: L-BFGS-B with the gradient, then Newton with the Hessian.

    Args:
        objective: function of (point, with_hessian) -> (value, gradient, Hessian).
        start: shape (k,).
        bounds: k pairs (lowest, highest).

    Returns:
        Point, shape (k,); covariance (the inverse of minus the Hessian), shape (k, k),
        NaN where the Hessian is not negative definite and for a parameter on its bound;
        whether the point is a maximum inside `RUNAWAY` (on a bound it counts as fixed).
    """

    def descent(point):
        value, gradient, _ = objective(point, False)
        return -value, -gradient

    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7}
    point = minimize(
        descent, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    ).x
    free = (point > np.array(bounds)[:, 0]) & (point < np.array(bounds)[:, 1])
    covariance = np.full((len(point), len(point)), np.nan)
    for polish in range(8):
        _, gradient, hessian = objective(point, True)
        gradient, hessian = gradient[free], hessian[np.ix_(free, free)]
        steepest = np.abs(gradient).max(initial=0)
        if not np.linalg.eigvalsh(-hessian).min(initial=1) > 1e-10:
            return point, covariance, False
        step = np.linalg.solve(-hessian, gradient)
        if steepest < 1e-12 or np.abs(step).max(initial=0) > 1 or polish == 7:
            break
        point[free] += step
    covariance[np.ix_(free, free)] = np.linalg.inv(-hessian)
    return point, covariance, steepest < 1e-8 and np.abs(point).max() < RUNAWAY


def fit_gamma_gamma(
    n,
    mean,
    variance=0.0,
    mean_ln=None,
    weight=1.0,
    sharers=0.0,
    ln_shares=0.0,
    penalizer=0.0,
):
    """Maximum-likelihood Gamma-Gamma on binned or on single customers.

    Args:
        n: purchase days, shape (m,), at least 1.
        mean: mean value per purchase day, shape (m,), positive, in money.
        variance: within the bin, shape (m,); 0 by default (single customers).
        mean_ln: mean log value, shape (m,); the log of `mean` by default.
        weight: customers, shape (m,); 1 each by default.
        sharers: those whose shares are known, shape (m,); none by default.
        ln_shares: sum of the logs of their shares, shape (m,).
        penalizer: zero for the plain fit; otherwise each log parameter has a normal
            prior around `ANCHOR` with variance 1 / penalizer (gamma relative to the
            mean value), within `FURTHEST`, and q is at least `LOWEST_Q`.

    Returns:
        dict: params (p, q, gamma) with gamma in money; cov_ln, covariance of their
        logs, shape (3, 3), NaN where it does not exist; log_likelihood without the
        penalty; converged, whether it is an interior maximum with q > 1; method.

    Raises:
        ValueError: for values that are not positive.
    """
    n, mean, variance, weight, sharers, ln_shares = np.broadcast_arrays(
        *(np.asarray(v, float) for v in (n, mean, variance, weight, sharers, ln_shares))
    )
    if not np.all((n >= 1) & (mean > 0) & (variance >= 0) & (weight > 0)):
        raise ValueError("Gamma-Gamma needs n >= 1, values > 0 and customers > 0")
    mean_ln = np.log(mean) if mean_ln is None else np.asarray(mean_ln, float)
    customers = weight.sum()
    unit = weight @ (n * mean) / (weight @ n)
    data = (n, mean / unit, variance / unit**2, mean_ln - np.log(unit), weight)
    data += sharers, ln_shares

    def objective(point, with_hessian):
        value, gradient, hessian = log_likelihood(point, *data, with_hessian)
        value -= penalizer / 2 * np.sum((point - ANCHOR) ** 2)
        gradient = gradient - penalizer * (point - ANCHOR)
        if with_hessian:
            hessian = (hessian - penalizer * np.eye(3)) / customers
        return value / customers, gradient / customers, hessian

    bounds = [(-12, 12)] * 3
    if penalizer:
        bounds = [(-FURTHEST, FURTHEST)] * 3
        bounds[1] = np.log(LOWEST_Q), FURTHEST
    best = ()
    for start in [ANCHOR] if penalizer else STARTS:
        point, cov_ln, interior = climb(objective, start, bounds)
        interior = bool(interior and (point[1] > 0 or penalizer > 0))
        found = interior, objective(point, False)[0]
        if not best or found > (best[0], best[1] + 1e-9):
            method = "mle_restart" if best else "mle"
            best = *found, point, cov_ln
    interior, _, point, cov_ln = best
    value = log_likelihood(point, *data)[0]
    params = np.exp(point)
    params[2] *= unit
    return {
        "params": params,
        "cov_ln": cov_ln / customers,
        "log_likelihood": value - customers * np.log(unit),
        "converged": interior,
        "method": "penalized" if penalizer else method,
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


def two_points(n, mean, variance, weight):
    """Replace each bin by two points of equal weight with its mean and variance.

    lifetimes knows no variance within a bin; of two points it sees it.

    Returns:
        tuple: n, value, weight, each of shape (2 m,).
    """
    sd = np.minimum(np.sqrt(variance), 0.99 * mean)
    values = np.concatenate([mean - sd, mean + sd])
    return np.tile(n, 2), values, np.tile(weight, 2) / 2


def lifetimes_fit(n, value, weight):
    """Gamma-Gamma by lifetimes: (params, log-likelihood) as in `fit_gamma_gamma`.

    Raises:
        lifetimes.utils.ConvergenceError: and whatever else lifetimes raises.
    """
    with contained():
        import lifetimes.fitters
        from lifetimes import GammaGammaFitter

        lifetimes.fitters.print = lambda *_: None  # it prints the optimiser's state
        # Where the last bits of a sum end its search for a finer optimum than doubles
        # can show, a coarser one answers: still far within `TOLERANCE`.
        unit = weight @ (n * value) / (weight @ n)
        for tolerance in LIFETIMES_TOLERANCES:
            try:
                fitter = GammaGammaFitter().fit(n, value / unit, weight, tol=tolerance)
                break
            except lifetimes.utils.ConvergenceError:
                if tolerance == LIFETIMES_TOLERANCES[-1]:
                    raise
    params = fitter.params_[["p", "q", "v"]].to_numpy("float64") * (1, 1, unit)
    return params, -weight.sum() * (fitter._negative_log_likelihood_ + np.log(unit))


def second_opinion(bins):
    """Fit the two points of every bin with lifetimes and with our own engine.

    Args:
        bins: tuple (n, mean, variance, mean_ln, weight, ...) of arrays of shape (m,).

    Returns:
        dict: params of lifetimes (None if it failed), customers it saw, largest
        relative difference of a parameter, relative difference of the log-likelihood,
        and a message, empty if it agrees within `TOLERANCE`.
    """
    n, mean, variance, _, weight, *_ = bins
    n, value, weight = two_points(n, mean, variance, weight)
    seen = round(weight.sum())
    own = fit_gamma_gamma(n, value, weight=weight)
    try:
        params, log_likelihood = lifetimes_fit(n, value, weight)
    except Exception as error:  # the comparison must not stop the build
        message = f"lifetimes failed: {' '.join(str(error).split())[:120]}"
        return {"params": None, "seen": seen, "gaps": (np.nan,) * 2, "message": message}
    gaps = (
        float(np.max(np.abs(params / own["params"] - 1))),
        float(abs(log_likelihood / own["log_likelihood"] - 1)),
    )
    message = "" if max(gaps) <= TOLERANCE else f"lifetimes differs by {max(gaps):.1e}"
    return {"params": params, "seen": seen, "gaps": gaps, "message": message}


def fit_rows(rows, engine="own", last_resort=False):
    """Fit one stratum at one cutoff.

    Args:
        rows: frame with purchase_days, value_bin, customers, mean_ln_value, mean_value,
            variance_value, sharing_customers and ln_shares (float64).
        engine: "own", or "lifetimes" to take the estimates of lifetimes.
        last_resort: fit with the smallest penalty that gives an interior maximum.

    Returns:
        dict: columns of the output that describe the fit.
    """
    rows = rows.sort_values(["purchase_days", "value_bin", "stratum"])
    names = ["purchase_days", "mean_value", "variance_value", "mean_ln_value"]
    names += ["customers", "sharing_customers", "ln_shares"]
    bins = tuple(rows[c].to_numpy("float64") for c in names)
    message, opinion, penalizer = "", {"seen": 0, "gaps": (np.nan, np.nan)}, 0.0
    if last_resort:
        for penalizer in PENALIZERS:
            fit = fit_gamma_gamma(*bins, penalizer=penalizer)
            if fit["converged"]:
                break
    else:
        fit = fit_gamma_gamma(*bins)
        if not fit["converged"]:
            q = fit["params"][1]
            message = f"no interior optimum with q > 1 (q = {q:.3g})"
        else:
            opinion = second_opinion(bins)
            message = opinion["message"]
            if engine == "lifetimes":
                fit = adopt(opinion["params"], bins, fit)
    p, q, gamma = params = fit["params"]
    if fit["converged"] and q < DOUBTFUL_Q:
        message = f"{message} few customers dominate the mean (q = {q:.3g})".strip()
    se = params * np.sqrt(np.diag(fit["cov_ln"]))
    return {
        "method": fit["method"],
        "converged": fit["converged"],
        "message": message,
        "penalizer": penalizer,
        "customers": int(bins[4].sum()),
        "bins": len(rows),
        **dict(zip(NAMES, params, strict=True)),
        **{f"se_{name}": v for name, v in zip(NAMES, se, strict=True)},
        "population_mean_value": p * gamma / (q - 1),
        "rate_value_correlation": correlation(bins),
        "log_likelihood": fit["log_likelihood"],
        "lifetimes_customers": opinion["seen"],
        "lifetimes_parameter_difference": opinion["gaps"][0],
        "lifetimes_log_likelihood_difference": opinion["gaps"][1],
    }


def correlation(bins):
    """Correlation of ln(purchase days) and ln(mean value) over repeat customers.

    The models take rate and value for independent: it should be about zero.
    """
    n, _, _, mean_ln, weight, *_ = (v[bins[0] > 1] for v in bins)
    if len(np.unique(n)) < 2 or len(np.unique(mean_ln)) < 2:
        return np.nan
    together = np.cov(np.log(n), mean_ln, aweights=weight, ddof=0)
    return together[0, 1] / np.sqrt(together[0, 0] * together[1, 1])


def adopt(params, bins, fit):
    """Our log-likelihood and covariance at the estimates of lifetimes."""
    if params is None:
        return {**fit, "method": "lifetimes", "converged": False}
    value, _, hessian = log_likelihood(np.log(params), *bins, with_hessian=True)
    return {
        "params": params,
        "cov_ln": np.linalg.inv(-hessian),
        "log_likelihood": value,
        "converged": bool(params[1] > 1),
        "method": "lifetimes",
    }


# --- strata -------------------------------------------------------------------------


def lineage(stratum):
    """The stratum and its ancestors: "DE|online" -> "DE|online", "DE", "all"."""
    levels = stratum.split("|")
    parents = ["|".join(levels[:k]) for k in range(len(levels), 0, -1)]
    return parents if parents[-1] == "all" else [*parents, "all"]


def fit_strata(rows, min_customers, engine):
    """Parameters of every stratum of one cutoff, inherited where need be.

    Args:
        rows: frame of one cutoff, with stratum and what `fit_rows` needs.
        min_customers: a smaller stratum is not fitted; it inherits.
        engine: see `fit_rows`.

    Returns:
        list of dict: one per stratum of `rows`, in order of stratum.
    """

    @functools.cache
    def members(stratum):
        name = rows["stratum"]
        mine = (name == stratum) | name.str.startswith(stratum + "|")
        return rows if stratum == "all" else rows[mine]

    @functools.cache
    def fitted(stratum, last_resort=False):
        return fit_rows(members(stratum), engine, last_resort)

    def resolve(stratum):
        notes, flagged = [], False
        for source in lineage(stratum):
            customers = int(members(source)["customers"].sum())
            too_few = customers < min_customers
            if too_few:
                notes.append(f"{source}: {customers} customers, too few to fit")
                if source != "all":
                    continue
            fit = fitted(source)
            flagged |= too_few or fit["message"] != ""
            if fit["message"]:
                notes.append(f"{source}: {fit['message']}")
            if fit["converged"]:
                break
        else:
            fit = fitted("all", last_resort=True)
            alike = ", values are all alike" if np.log(fit["p"]) >= FURTHEST else ""
            notes.append(f"all: penalised by {fit['penalizer']:g}{alike}")
        return {
            **fit,
            "stratum": stratum,
            "fitted_stratum": source,
            "method": fit["method"] if source == stratum else "inherited",
            "is_flagged": bool(flagged),
            "message": "; ".join(notes),
        }

    return [resolve(stratum) for stratum in sorted(rows["stratum"].unique())]


def fit_all(values, min_customers=1000, engine="own"):
    """Parameters of every stratum at every cutoff.

    Args:
        values: frame with stratum, cutoff_date and the columns of `fit_rows`, in any
            order and any numeric type.
        min_customers: a smaller stratum inherits the parameters of its parent.
        engine: "own" or "lifetimes".

    Returns:
        DataFrame: the columns of `COLUMNS`, sorted by cutoff date and stratum.

    Raises:
        ValueError: for an unknown engine or values that are not positive.
    """
    if engine not in ("own", "lifetimes"):
        raise ValueError(f"fit_engine is {engine!r}; use 'own' or 'lifetimes'")
    numbers = ["purchase_days", "value_bin", "customers"]
    numbers += ["mean_ln_value", "mean_value", "variance_value"]
    numbers += ["sharing_customers", "ln_shares"]
    values = values.astype({"stratum": "str", **dict.fromkeys(numbers, "float64")})
    return typed(
        {**row, "cutoff_date": pd.Timestamp(cutoff).date()}
        for cutoff, rows in values.groupby("cutoff_date", sort=True)
        for row in fit_strata(rows, min_customers, engine)
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
    """Fit every stratum and cutoff of int_values__compressed."""
    dbt.config(materialized="table")
    min_customers = int(dbt.config.meta_get("min_stratum_customers", 1000))
    engine = dbt.config.meta_get("fit_engine", "own")
    values = _to_pandas(dbt.ref("int_values__compressed"))
    return fit_all(values, min_customers, engine)
