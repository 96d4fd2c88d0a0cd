"""BG/NBD parameters, fitted by maximum likelihood on compressed purchase histories.

Model: Fader, Hardie & Lee (2005), "Counting Your Customers the Easy Way", Marketing
Science 24(2). While alive a customer buys at rate lambda ~ Gamma(r, alpha); after each
repeat purchase she leaves with probability p ~ Beta(a, b). Time is in days: alpha is
in days; r, a and b have no unit.

Grain: one row per stratum and cutoff date of the histories, whatever happens to its
fit. Every column but these two describes the fit that supplied the parameters. In
turn: plain maximum likelihood; other starts; the parent stratum (drop the last level
after "|", at last "all"); and, only where even "all" has no interior optimum, a
penalised fit. A row is flagged when a fit failed on the way, when there were too few
customers for any fit, or when `lifetimes`, the second opinion, disagrees.
"""

import contextlib
import warnings

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import digamma, gammaln, polygamma

NAMES = ("r", "alpha", "a", "b")
PAIRS = [(i, j) for i in range(4) for j in range(i, 4)]
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
    "histories": "int64",
    **dict.fromkeys(NAMES, "float64"),
    **{f"se_{name}": "float64" for name in NAMES},
    **{f"cov_ln_{NAMES[i]}_ln_{NAMES[j]}": "float64" for i, j in PAIRS},
    "log_likelihood": "float64",
    "lifetimes_customers": "int64",
    "lifetimes_parameter_difference": "float64",
    "lifetimes_log_likelihood_difference": "float64",
}

# Logs of (r, alpha / longest age, a, b). The first start is neutral; the others are
# sparse retail (CDNOW) and frequent grocery (Complete Journey).
STARTS = np.log([[1, 1, 1, 1], [0.25, 0.1, 0.8, 2.5], [1.4, 0.04, 0.07, 50]])
# Centre of the last-resort penalty: between the published fits of retail data.
ANCHOR = np.log([0.5, 0.2, 0.7, 3])
PENALIZERS = (0.1, 1.0, 10.0)
RUNAWAY = 9.0  # |log parameter| beyond this: the likelihood rises towards infinity
OPINION_ROWS = 100_000
TOLERANCE = 1e-4


# --- likelihood ---------------------------------------------------------------------


def group_histories(x, t_x, t, weight):
    """Arrange histories so that each costly function runs once per distinct argument.

    Args:
        x: repeat purchase days, shape (n,).
        t_x: recency, first to last purchase, shape (n,), same unit as `t`.
        t: age, first purchase to cutoff, shape (n,).
        weight: customers with that history, shape (n,).

    Returns:
        Customers; (distinct x, weights); (distinct t where x = 0, weights); and
        (x, t_x, t, weight) where x > 0.

    Raises:
        ValueError: for histories that cannot be (negative, or t_x beyond t).
    """
    x, t_x, t, weight = (np.asarray(v, float) for v in (x, t_x, t, weight))
    if not np.all((x >= 0) & (t_x >= 0) & (t_x <= t) & (weight > 0)):
        raise ValueError("histories need x >= 0, 0 <= t_x <= t and customers > 0")

    def distinct(values, weights):
        unique, index = np.unique(values, return_inverse=True)
        return unique, np.bincount(index, weights=weights, minlength=len(unique))

    none = x == 0
    repeat = tuple(v[~none] for v in (x, t_x, t, weight))
    return weight.sum(), distinct(x, weight), distinct(t[none], weight[none]), repeat


def log_likelihood(log_params, grouped, with_hessian=False):
    """BG/NBD log-likelihood with exact derivatives.

    Fader, Hardie & Lee (2005), section 7, written as softplus so that it neither
    overflows nor underflows.

    Args:
        log_params: logs of (r, alpha, a, b), shape (4,); alpha in the unit of time.
        grouped: the result of `group_histories`.
        with_hessian: whether the second derivatives are wanted.

    Returns:
        Value; gradient, shape (4,), and Hessian, shape (4, 4) or None, both with
        respect to the log parameters.
    """
    r, alpha, a, b = params = np.exp(log_params)
    n, (ux, wx), (t0, w0), (x, t_x, t, w) = grouped

    value = wx @ (gammaln(r + ux) + gammaln(b + ux) - gammaln(a + b + ux)) + n * (
        r * np.log(alpha) - gammaln(r) + gammaln(a + b) - gammaln(b)
    )
    d_abx = wx @ digamma(a + b + ux)
    g_r = wx @ digamma(r + ux) + n * (np.log(alpha) - digamma(r))
    g_alpha = n * r / alpha
    g_a = n * digamma(a + b) - d_abx
    g_b = n * (digamma(a + b) - digamma(b)) + wx @ digamma(b + ux) - d_abx

    log_t0, inv_t0 = np.log(alpha + t0), 1 / (alpha + t0)
    value -= r * (w0 @ log_t0)
    g_r -= w0 @ log_t0
    g_alpha -= r * (w0 @ inv_t0)

    # x > 0: either alive all along, or gone after the last purchase
    log_gone = np.log(alpha + t_x)
    log_ratio = np.log(alpha + t) - log_gone
    inv_alive, inv_gone = 1 / (alpha + t), 1 / (alpha + t_x)
    log_bx = np.log(b + x - 1)
    d = log_bx - np.log(a) - (r + x) * log_ratio
    e = np.exp(-np.abs(d))
    alive = np.where(d > 0, 1, e) / (1 + e)  # = P(alive)
    gone = w * (1 - alive)
    inv_mean = inv_gone + alive * (inv_alive - inv_gone)
    value += w @ (np.maximum(d, 0) + np.log1p(e) - log_bx - (r + x) * log_gone)
    value += w.sum() * np.log(a)
    g_r -= w @ (log_gone + alive * log_ratio)
    g_alpha -= w @ ((r + x) * inv_mean)
    g_a += gone.sum() / a
    g_b -= gone @ (1 / (b + x - 1))
    gradient = np.array([g_r, g_alpha, g_a, g_b])
    if not with_hessian:
        return value, gradient * params, None

    def trigamma(v):
        return polygamma(1, v)

    c = n * trigamma(a + b) - wx @ trigamma(a + b + ux)
    h = np.zeros((4, 4))
    h[0, 0] = wx @ trigamma(r + ux) - n * trigamma(r)
    h[0, 1] = n / alpha - w0 @ inv_t0 - w @ inv_mean
    h[1, 1] = r * (w0 @ inv_t0**2) - n * r / alpha**2
    h[1, 1] += (w * (r + x)) @ (alive * inv_alive**2 + (1 - alive) * inv_gone**2)
    h[2, 2] = c - gone.sum() / a**2
    h[2, 3] = c
    h[3, 3] = (
        c - n * trigamma(b) + wx @ trigamma(b + ux) + gone @ (1 / (b + x - 1) ** 2)
    )
    h = np.triu(h) + np.triu(h, 1).T
    # two ways to the same history: the spread of their gradients adds curvature
    spread = np.vstack(
        [
            -log_ratio,
            (r + x) * (inv_gone - inv_alive),
            np.full_like(x, -1 / a),
            1 / (b + x - 1),
        ]
    )
    h += (spread * (gone * alive)) @ spread.T
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
        NaN where the Hessian is not negative definite; whether the point is an
        interior maximum.
    """

    def descent(point):
        value, gradient, _ = objective(point, False)
        return -value, -gradient

    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7}
    point = minimize(
        descent, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    ).x
    for polish in range(8):
        _, gradient, hessian = objective(point, True)
        steepest = np.abs(gradient).max()
        if not np.linalg.eigvalsh(-hessian).min() > 1e-10:
            return point, np.full_like(hessian, np.nan), False
        step = np.linalg.solve(-hessian, gradient)
        if steepest < 1e-12 or np.abs(step).max() > 1 or polish == 7:
            break
        point = point + step
    interior = steepest < 1e-8 and np.abs(point).max() < RUNAWAY
    return point, np.linalg.inv(-hessian), interior


def fit_bgnbd(x, t_x, t, weight=None, penalizer=0.0):
    """Maximum-likelihood BG/NBD on weighted histories.

    Args:
        x: repeat purchase days, shape (n,).
        t_x: recency, shape (n,), same unit as `t`.
        t: age at the cutoff, shape (n,).
        weight: customers with that history, shape (n,); 1 each by default.
        penalizer: zero for the plain fit; otherwise each log parameter has a normal
            prior around `ANCHOR` with variance 1 / penalizer (alpha relative to the
            longest age), so that its weight fades as customers are added.

    Returns:
        dict: params (r, alpha, a, b) with alpha in the unit of `t`; cov_ln, covariance
        of their logs, shape (4, 4); log_likelihood on the scale of `t`, without the
        penalty; converged, whether it is an interior maximum; method.

    Raises:
        ValueError: for impossible histories.
    """
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, float)
    scale = np.max(t) or 1.0
    n, *_ = grouped = group_histories(
        x, np.divide(t_x, scale), np.divide(t, scale), weight
    )

    def objective(point, with_hessian):
        value, gradient, hessian = log_likelihood(point, grouped, with_hessian)
        value -= penalizer / 2 * np.sum((point - ANCHOR) ** 2)
        gradient = gradient - penalizer * (point - ANCHOR)
        if with_hessian:
            hessian = (hessian - penalizer * np.eye(4)) / n
        return value / n, gradient / n, hessian

    method = "penalized" if penalizer else "mle"
    for start in [ANCHOR] if penalizer else STARTS:
        point, cov_ln, interior = climb(objective, start, [(-12, 12)] * 4)
        if interior:
            break
        method = "penalized" if penalizer else "mle_restart"
    value = log_likelihood(point, grouped)[0]
    params = np.exp(point)
    params[1] *= scale
    return {
        "params": params,
        "cov_ln": cov_ln / n,
        "log_likelihood": value - np.dot(weight, x) * np.log(scale),
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


def lifetimes_fit(x, t_x, t, weight):
    """BG/NBD by lifetimes: (params, log-likelihood) as in `fit_bgnbd`.

    lifetimes reports the log-likelihood per customer on ages scaled to at most one;
    it is brought back here.

    Raises:
        lifetimes.utils.ConvergenceError: and whatever else lifetimes raises.
    """
    with contained():
        import lifetimes.fitters
        from lifetimes import BetaGeoFitter

        lifetimes.fitters.print = lambda *_: None  # it prints the optimiser's state
        for tolerance in (1e-9, 1e-7):
            try:
                fitter = BetaGeoFitter().fit(x, t_x, t, weights=weight, tol=tolerance)
                break
            except lifetimes.utils.ConvergenceError:
                if tolerance == 1e-7:
                    raise
    value = -weight.sum() * fitter._negative_log_likelihood_
    value += np.dot(weight, x) * np.log(fitter._scale)
    return fitter.params_[list(NAMES)].to_numpy("float64"), value


def second_opinion(histories, own, max_rows):
    """Refit with lifetimes and compare with our own fit of the same rows.

    Args:
        histories: tuple (x, t_x, t, weight) of arrays of shape (n,), sorted.
        own: the result of `fit_bgnbd` on them.
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
        own = fit_bgnbd(*histories)
    seen = int(histories[3].sum())
    try:
        params, value = lifetimes_fit(*histories)
    except Exception as error:  # whatever its reason, it must not stop the build
        message = f"lifetimes failed: {' '.join(str(error).split())[:120]}"
        return {"params": None, "seen": seen, "gaps": (np.nan,) * 2, "message": message}
    gaps = (
        float(np.max(np.abs(params / own["params"] - 1))),
        float(abs(value / own["log_likelihood"] - 1)),
    )
    message = "" if max(gaps) <= TOLERANCE else f"lifetimes differs by {max(gaps):.1e}"
    return {"params": params, "seen": seen, "gaps": gaps, "message": message}


def fit_rows(rows, engine="own", last_resort=False):
    """Fit one stratum at one cutoff.

    Args:
        rows: frame with frequency, recency_days, age_days, customers (float64).
        engine: "own", or "lifetimes" to take the estimates of lifetimes.
        last_resort: fit with the smallest penalty that gives an interior maximum.

    Returns:
        dict: columns of the output that describe the fit.
    """
    keys = ["frequency", "recency_days", "age_days"]
    rows = rows.groupby(keys, as_index=False)["customers"].sum()
    histories = tuple(rows[c].to_numpy("float64") for c in [*keys, "customers"])
    message, opinion, penalizer = "", {"seen": 0, "gaps": (np.nan, np.nan)}, 0.0
    if last_resort:
        for penalizer in PENALIZERS:
            fit = fit_bgnbd(*histories, penalizer=penalizer)
            if fit["converged"]:
                break
    else:
        fit = fit_bgnbd(*histories)
        if not fit["converged"]:
            message = "no interior optimum"
        else:
            opinion = second_opinion(
                histories, fit, OPINION_ROWS if engine == "own" else np.inf
            )
            message = opinion["message"]
            if engine == "lifetimes":
                fit = adopt(opinion["params"], histories, fit)
    params, cov_ln = fit["params"], fit["cov_ln"]
    se = params * np.sqrt(np.diag(cov_ln))
    return {
        "method": fit["method"],
        "converged": fit["converged"],
        "message": message,
        "penalizer": penalizer,
        "customers": int(histories[3].sum()),
        "histories": len(rows),
        **dict(zip(NAMES, params, strict=True)),
        **{f"se_{name}": v for name, v in zip(NAMES, se, strict=True)},
        **{f"cov_ln_{NAMES[i]}_ln_{NAMES[j]}": cov_ln[i, j] for i, j in PAIRS},
        "log_likelihood": fit["log_likelihood"],
        "lifetimes_customers": opinion["seen"],
        "lifetimes_parameter_difference": opinion["gaps"][0],
        "lifetimes_log_likelihood_difference": opinion["gaps"][1],
    }


def adopt(params, histories, fit):
    """Our log-likelihood and covariance at the estimates of lifetimes."""
    if params is None:
        return {**fit, "method": "lifetimes", "converged": False}
    value, _, hessian = log_likelihood(
        np.log(params), group_histories(*histories), with_hessian=True
    )
    return {
        "params": params,
        "cov_ln": np.linalg.inv(-hessian),
        "log_likelihood": value,
        "converged": True,
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
    sizes, fits = {}, {}

    def members(stratum):
        name = rows["stratum"]
        mine = (name == stratum) | name.str.startswith(stratum + "|")
        return rows if stratum == "all" else rows[mine]

    def size(stratum):
        if stratum not in sizes:
            sizes[stratum] = int(members(stratum)["customers"].sum())
        return sizes[stratum]

    def fitted(stratum, last_resort=False):
        key = (stratum, last_resort)
        if key not in fits:
            fits[key] = fit_rows(members(stratum), engine, last_resort)
        return fits[key]

    def resolve(stratum):
        notes, flagged = [], False
        for source in lineage(stratum):
            too_few = size(source) < min_customers
            if too_few:
                notes.append(f"{source}: {size(source)} customers, too few to fit")
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
            notes.append(f"all: penalised by {fit['penalizer']:g}")
        return {
            **fit,
            "stratum": stratum,
            "fitted_stratum": source,
            "method": fit["method"] if source == stratum else "inherited",
            "is_flagged": bool(flagged),
            "message": "; ".join(notes),
        }

    return [resolve(stratum) for stratum in sorted(rows["stratum"].unique())]


def fit_all(histories, min_customers=1000, engine="own"):
    """Parameters of every stratum at every cutoff.

    Args:
        histories: frame with stratum, cutoff_date, frequency, recency_days, age_days
            and customers, in any order and any numeric type.
        min_customers: a smaller stratum inherits the parameters of its parent.
        engine: "own" or "lifetimes".

    Returns:
        DataFrame: the columns of `COLUMNS`, sorted by cutoff date and stratum.

    Raises:
        ValueError: for an unknown engine or impossible histories.
    """
    if engine not in ("own", "lifetimes"):
        raise ValueError(f"fit_engine is {engine!r}; use 'own' or 'lifetimes'")
    numbers = ["frequency", "recency_days", "age_days", "customers"]
    histories = histories.astype(
        {"stratum": "str", **dict.fromkeys(numbers, "float64")}
    )
    return typed(
        {**row, "cutoff_date": pd.Timestamp(cutoff).date()}
        for cutoff, rows in histories.groupby("cutoff_date", sort=True)
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
    if isinstance(relation, pd.DataFrame):
        return relation
    names = ("toPandas", "to_pandas", "df")  # PySpark, BigFrames, DuckDB
    return next(getattr(relation, n)() for n in names if hasattr(type(relation), n))


def _from_pandas(frame, session):
    # BigFrames wants a frame of its own back; the others take pandas
    return session.read_pandas(frame) if hasattr(session, "read_pandas") else frame


def model(dbt, session):
    """Fit every stratum and cutoff of int_histories__compressed."""
    dbt.config(materialized="table")
    min_customers = int(dbt.config.meta_get("min_stratum_customers", 1000))
    engine = dbt.config.meta_get("fit_engine", "own")
    histories = _to_pandas(dbt.ref("int_histories__compressed"))
    return _from_pandas(fit_all(histories, min_customers, engine), session)
