"""Value of cohorts, forecast by the purchase model and from their own series.

A cohort is the customers of one month of first purchase and one country. By method, the
value of its customers from the cutoff to a day ahead, undiscounted:

* purchase_model: the sum over customers of P(alive) E[N(t) | alive] E[value per day].
  Given alive N depends on frequency and age alone, so that customers of one history are
  one row here (int_cohorts__compressed); parameters and season are the published ones.
  At the horizons it is the sum of the served forecast, corrections included; between
  them the curve of the model is scaled to it;
* holt_winters: damped trend (Gardner & McKenzie 1985) on weeks, without a season and
  not below zero; as recent_mean where there are few weeks, or most are empty;
* recent_mean: the mean of the last 13 weeks, or of as many as there are;
* combined: the mean of purchase_model and recent_mean, whose errors have opposite signs
  more often than not (Bates & Granger 1969); purchase_model alone while a cohort is
  young and falls steeply.

The series of a cohort begins after its month: first purchases are a spike, whose fall a
trend would go on with. Without one full week since, purchase_model stands in.

Reconciliation mint (Wickramasuriya, Athanasopoulos & Hyndman 2019) forecasts totals,
regions and countries by Holt-Winters too and adjusts the cohorts so that all agree,
with the covariance of the residuals, shrunken (Schaefer & Strimmer 2005). It needs a
common past and leaves cohorts with less than half a year as they are. Default is
bottom_up: totals are sums.

Grain: one row per cutoff, cohort month, country and day: every seventh one and the
horizons.
"""

import warnings

import numpy as np
import pandas as pd
from scipy.linalg import eigh_tridiagonal
from scipy.special import exprel
from statsmodels.tsa.holtwinters import ExponentialSmoothing

DROPOUT_NODES = 48  # quadrature over the dropout probability
MONTH = 365.25 / 12  # days
RECENT_WEEKS = 13  # of recent_mean, and the fewest for a trend
COMMON_WEEKS = 26  # of the past of every cohort that mint reconciles
LEAST_BUSY = 0.5  # share of weeks with a purchase below which no trend is sought
METHODS = ["purchase_model", "combined", "recent_mean", "holt_winters"]
COHORT = ["cutoff_date", "cohort_month", "country"]
TYPES = {
    "cutoff_date": "date32[pyarrow]",
    "cohort_month": "date32[pyarrow]",
    "country": "string",
    "region": "string",
    "day": "int64",
    "closed_weeks": "int64",
} | dict.fromkeys(METHODS, "float64")


# -- The purchase model


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


def expected_purchases(x, age, times, fit, stage=0.0):
    """E[N(t) | alive]: purchase days of the next t days, as in int_expectations.

    Args:
        x: repeat purchase days so far, a number.
        age: time since the first purchase, shape (m,).
        times: time ahead, shape (h,).
        fit: mapping with purchase_model and its parameters, in days.
        stage: stages of a gap that have passed; between two whole ones interpolated.

    Returns:
        Array of shape (m, h).
    """
    age, times = np.asarray(age, float)[:, None], np.asarray(times, float)
    if fit["purchase_model"] == "bgbb":  # of a monthly log, whose days are the 15th
        n, ahead = np.floor(age / MONTH), np.floor(times / MONTH + 0.5).astype(int)
        passed = n + np.arange(ahead.max(initial=0))
        stays = np.cumprod((fit["b"] + passed) / (fit["a"] + fit["b"] + passed), axis=1)
        stays = np.hstack([np.zeros_like(age), stays.cumsum(axis=1)])
        return (fit["alpha"] + x) / (fit["alpha"] + fit["beta"] + n) * stays[:, ahead]
    k, rate = int(fit["k"]), fit["alpha"] + age
    if fit["purchase_model"] == "paretonbd":
        stretch = np.log1p(times / (fit["beta"] + age))
        alive = (fit["beta"] + age) * stretch * exprel((1 - fit["s"]) * stretch)
        return (fit["r"] + x) / rate * alive
    stayed = fit["b"] + x + fit["purchase_model"].startswith("m")
    p, weight = beta_quadrature(fit["a"], stayed, DROPOUT_NODES)
    stretch, whole = (times / rate)[..., None], int(stage)
    return sum(
        near * (share_gone(p, fit["r"] + k * x + j, stretch, j, k) @ (weight / p))
        for j, near in [(whole, whole + 1 - stage), (whole + 1, stage - whole)]
        if near > 0
    )


def modelled(histories, parameters, season, days):
    """Expected value under the purchase model by each day ahead.

    Args:
        histories: frame with COHORT, model_version, stratum, frequency, age_days and
            stage_quarters and value_per_purchase, the sum of P(alive) E[value per day].
        parameters: frame with model_version, stratum, cutoff_date, purchase_model, r,
            alpha, a, b, s, beta and k.
        season: frame with model_version, cutoff_date, days_ago and time_ago, of the
            parameter sets that have a season.
        days: dictionary cutoff date -> days ahead.

    Returns:
        Dictionary (cutoff date, cohort month, country) -> array like the days.
    """
    by = ["model_version", "stratum", "cutoff_date"]
    fits = {tuple(row[key] for key in by): row for row in parameters.to_dict("records")}
    calendars = warped_times(season)
    values = {}
    by += ["frequency", "stage_quarters"]
    for (*key, x, quarters), rows in histories.groupby(by):
        version, _, cutoff = key
        since, ahead = calendars.get((version, cutoff), (np.asarray, np.asarray))
        ages = rows["age_days"].to_numpy("float64")
        ages, place = np.unique(ages, return_inverse=True)
        times = ahead(np.asarray(days[cutoff], float))
        fit = fits[tuple(key)]
        expected = expected_purchases(x, since(ages), times, fit, quarters / 4)
        value = rows["value_per_purchase"].to_numpy("float64")[:, None]
        value = value * expected[place]
        for cohort, positions in rows.groupby(COHORT).indices.items():
            values[cohort] = values.get(cohort, 0.0) + value[positions].sum(axis=0)
    return values


def warped_times(season):
    """Dictionary (model_version, cutoff_date) -> how it measures time.

    Its values are two functions: of days before the cutoff, and of days ahead.
    """
    times = {}
    for key, rows in season.groupby(["model_version", "cutoff_date"]):
        rows = rows.sort_values("days_ago")
        days = rows["days_ago"].to_numpy("float64")
        time = rows["time_ago"].to_numpy("float64")
        times[key] = (
            lambda before, days=days, time=time: np.interp(before, days, time),
            lambda after, days=days, time=time: -np.interp(-after, days, time),
        )
    return times


# -- The series


def holt_winters(series, weeks):
    """Damped trend: forecast and residuals; None where no trend can be sought.

    Args:
        series: value by week, from the oldest.
        weeks: number of weeks ahead.

    Returns:
        Arrays of shape (weeks,) and (len(series),), or None.
    """
    if len(series) < RECENT_WEEKS or (series > 0).mean() < LEAST_BUSY:
        return None
    scale = np.abs(series).mean()
    with warnings.catch_warnings():
        # a flat likelihood is not an error: the backtest evaluates the result
        warnings.simplefilter("ignore")
        fit = ExponentialSmoothing(
            series / scale,
            trend="add",
            damped_trend=True,
            initialization_method="estimated",
        ).fit(use_brute=False)
        forecast = fit.forecast(weeks) * scale
    if not np.isfinite(forecast).all():
        return None
    return np.maximum(forecast, 0), fit.resid * scale


def recent_mean(series, weeks):
    """Mean of the last weeks: forecast and residuals, as of `holt_winters`."""
    mean = max(series[-RECENT_WEEKS:].mean(), 0)
    return np.full(weeks, mean), series - mean


def reconciled(series, keys, weeks, regions):
    """Holt-Winters of established cohorts, reconciled with their totals.

    Args:
        series: dictionary cohort -> value by week.
        keys: cohorts of one cutoff that have COMMON_WEEKS, sorted.
        weeks: number of weeks ahead.
        regions: dictionary country -> region.

    Returns:
        Dictionary cohort -> forecast of shape (weeks,).
    """
    if len(keys) < 2:
        return {}
    common = min(len(series[key]) for key in keys)
    bottom = np.array([series[key][-common:] for key in keys])
    countries = np.array([country for *_, country in keys])
    region = np.array([regions.get(country, "unknown") for country in countries])
    sums = [np.ones(len(keys))]
    sums += [region == name for name in np.unique(region)]
    sums += [countries == name for name in np.unique(countries)]
    # one country is its region, one cohort its country: the same series counts once
    sums = np.unique(np.vstack(sums).astype(float), axis=0)
    sums = np.vstack([sums[sums.sum(axis=1) > 1], np.eye(len(keys))])
    every = [holt_winters(y, weeks) or recent_mean(y, weeks) for y in sums @ bottom]
    forecasts, residuals = (np.array(part) for part in zip(*every, strict=True))
    adjusted = min_trace()(method="mint_shrink").fit_predict(
        S=sums,
        y_hat=forecasts,
        y_insample=residuals,
        y_hat_insample=np.zeros_like(residuals),
    )["mean"][-len(keys) :]
    return dict(zip(keys, np.maximum(adjusted, 0), strict=True))


def min_trace():
    """Nixtla's reconciliation, an extra of the project.

    Raises:
        ImportError: where it is not installed.
    """
    try:
        from hierarchicalforecast.methods import MinTrace
    except ImportError:
        text = "clv: clv_forecast_reconciliation mint needs pip install '.[forecast]'"
        raise ImportError(text) from None
    return MinTrace


# -- Together


def forecasts(tables, horizons, reconciliation="bottom_up"):
    """Value of every cohort by day ahead, by method.

    Args:
        tables: mapping of frames: cutoffs, histories and weekly (int_cohorts__*),
            parameters, season and regions.
        horizons: days ahead.
        reconciliation: bottom_up or mint.

    Returns:
        DataFrame with the columns of TYPES, sorted by the first four.
    """
    names = ("cutoffs", "histories", "weekly", "parameters", "season", "regions")
    cutoffs, histories, weekly, parameters, season, regions = (
        dated(tables[name]) for name in names
    )
    histories = histories.dropna(subset=["value_per_purchase"])
    if histories.empty:
        return pd.DataFrame(columns=list(TYPES)).astype(TYPES)
    horizons = sorted({int(horizon) for horizon in horizons})
    every_week = set(range(7, horizons[-1] + 1, 7))
    days = dict.fromkeys(cutoffs["cutoff_date"], sorted(every_week.union(horizons)))
    values = modelled(histories, parameters, season, days)
    served = histories.groupby(COHORT)[[f"expected_value_{h}d" for h in horizons]].sum()
    for key, curve in values.items():
        at_horizons = curve[np.isin(days[key[0]], horizons)]
        values[key] = np.interp(curve, [0, *at_horizons], [0, *served.loc[key]])

    weeks = -(-horizons[-1] // 7)
    weekly = weekly[weekly["is_closed"].astype(bool)].sort_values("weeks_ago")
    series = {
        key: rows["value_amount"].to_numpy("float64")[::-1]
        for key, rows in weekly.groupby(COHORT)
    }
    trends = {key: holt_winters(y, weeks) for key, y in series.items()}
    trends = {key: trend[0] for key, trend in trends.items() if trend}
    regions = dict(zip(regions["country"], regions["region"], strict=True))
    if reconciliation == "mint":
        for cutoff in sorted(days):
            keys = [k for k in sorted(trends) if k[0] == cutoff]
            keys = [k for k in keys if len(series[k]) >= COMMON_WEEKS]
            trends |= reconciled(series, keys, weeks, regions)

    frames = []
    for key in sorted(values):
        own, model = series.get(key, np.empty(0)), values[key]
        mean = trend = combined = model
        if len(own):
            flat = recent_mean(own, weeks)[0]
            mean = by_day(flat, days[key[0]])
            trend = by_day(trends.get(key, flat), days[key[0]])
        if len(own) >= RECENT_WEEKS:
            combined = (model + mean) / 2
        columns = dict(zip(COHORT, key, strict=True)) | {
            "region": regions.get(key[2], "unknown") if regions else None,
            "day": days[key[0]],
            "closed_weeks": len(own),
        }
        columns |= dict(zip(METHODS, (model, combined, mean, trend), strict=True))
        frames.append(pd.DataFrame(columns))
    frame = pd.concat(frames, ignore_index=True)[list(TYPES)]
    # without any region the column has no type of its own
    return frame.astype({"region": "string"})


def by_day(forecast, days):
    """Actual value by each day ahead, evenly within a week."""
    cumulated = np.concatenate([[0.0], np.cumsum(forecast)])
    return np.interp(days, 7 * np.arange(len(cumulated)), cumulated)


def dated(frame):
    """Dates as Python objects, whatever type the warehouse returns."""
    names = [name for name in ("cutoff_date", "cohort_month") if name in frame]
    return frame.assign(**{name: pd.to_datetime(frame[name]).dt.date for name in names})


def _to_pandas(relation):
    # DuckDB gives relations, BigQuery frames.
    return relation if isinstance(relation, pd.DataFrame) else relation.df()


def model(dbt, session):
    """Forecast the cohorts of every cutoff."""
    dbt.config(materialized="table")
    frame = forecasts(
        {
            "cutoffs": _to_pandas(dbt.ref("int_cutoffs")),
            "histories": _to_pandas(dbt.ref("int_cohorts__compressed")),
            "weekly": _to_pandas(dbt.ref("int_cohorts__weekly")),
            "parameters": _to_pandas(dbt.ref("int_parameters")),
            "season": _to_pandas(dbt.ref("int_season")),
            "regions": _to_pandas(dbt.ref("country_regions")),
        },
        dbt.config.meta_get("horizons", [30, 90, 180, 365]),
        dbt.config.meta_get("reconciliation", "bottom_up"),
    )
    return frame
