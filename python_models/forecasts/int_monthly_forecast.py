"""New customers and value of the twelve months after each month, from those before it.

New customers, by two methods:

* damped_trend: Holt-Winters with a damped trend (Gardner & McKenzie 1985), with a
  season from two years on, and not below zero; as naive where months are few or empty;
* naive: the same month a year before from two years on, else the mean of the last
  three months.

Every month that had ended by the as-of date is an origin. At an origin the trend serves
if its absolute errors add up to less than those of naive, over forecasts from two
earlier origins or more, of months that had ended. The relative error, a standard
deviation, grows with the square root of the months ahead and is shrunk towards a prior.

Value is that of all customers together, by naive alone: the forecast of value is
compared with it. Earlier origins are of customers without a plan, as all backtests.

Grain: one row per origin (the last month known) and month ahead.
"""

import warnings

import numpy as np
import pandas as pd
from statsmodels.tsa.holtwinters import ExponentialSmoothing

AHEAD = 12  # months
ORIGINS = 36  # the latest ones
YEARS = 24  # months from which there is a season
FEWEST = 6  # months for a trend
LEAST_BUSY = 0.5  # share of months with a new customer below which none is sought
PRIOR_ERROR, PRIOR_WINDOWS, LARGEST = 0.12, 3, 0.5  # as in int_shared_errors
TYPES = {
    "origin_month": "date32[pyarrow]",
    "period_month": "date32[pyarrow]",
    "step": "int64",
    "method": "string",
    "new_customers": "float64",
    "relative_error": "float64",
    "windows": "int64",
    "damped_trend_wape": "float64",
    "naive_wape": "float64",
    "naive_method": "string",
    "naive_value": "float64",
    "actual_customers": "float64",
    "actual_value": "float64",
}


def naive(series):
    """Name and forecast of the naive method."""
    if len(series) >= YEARS:
        return "seasonal_naive", series[-AHEAD:]
    return "recent_mean", np.full(AHEAD, series[-3:].mean())


def damped_trend(series):
    """Forecast of the months ahead; None where no trend can be sought."""
    if len(series) < FEWEST or (series > 0).mean() < LEAST_BUSY:
        return None
    scale, seasonal = series.mean(), len(series) >= YEARS
    with warnings.catch_warnings():
        # a flat likelihood is not an error: the gate evaluates the result
        warnings.simplefilter("ignore")
        fit = ExponentialSmoothing(
            series / scale,
            trend="add",
            damped_trend=True,
            seasonal="add" if seasonal else None,
            seasonal_periods=12 if seasonal else None,
            initialization_method="estimated",
        ).fit(use_brute=False)
        forecast = fit.forecast(AHEAD) * scale
    return np.maximum(forecast, 0) if np.isfinite(forecast).all() else None


def served(rows, ended):
    """Whether the trend serves, its relative error one month ahead, and both WAPE.

    Args:
        rows: frame of earlier forecasts with step, naive_customers, damped_trend and
            actual_customers.
        ended: of those, which months had ended.

    Returns:
        Dictionary with is_trend, relative_error, windows and the two WAPE.
    """
    rows = rows[ended]
    errors = rows[["naive_customers", "damped_trend"]].sub(
        rows["actual_customers"], axis=0
    )
    plain, trend = errors.abs().sum()
    windows, actual = rows["origin_month"].nunique(), rows["actual_customers"].sum()
    is_trend = bool(windows >= 2 and trend < plain)
    method = "damped_trend" if is_trend else "naive_customers"
    weight = (rows[method] ** 2 * rows["step"]).sum()
    squared = (errors[method] ** 2).sum() / weight if weight > 0 else 0.0
    squared = windows * min(squared, LARGEST**2) + PRIOR_WINDOWS * PRIOR_ERROR**2
    return {
        "is_trend": is_trend,
        "relative_error": np.sqrt(squared / (windows + PRIOR_WINDOWS)),
        "windows": windows,
        "damped_trend_wape": trend / actual if actual > 0 else np.nan,
        "naive_wape": plain / actual if actual > 0 else np.nan,
    }


def every_origin(months, without_plan=None):
    """Forecasts of every origin.

    Args:
        months: frame of customers and value, with an index of monthly periods without
            gaps; months that have ended only.
        without_plan: the same of customers without a plan, if there are others: known
            of earlier months, and forecast for them.

    Returns:
        DataFrame with the columns of TYPES.
    """
    frames, gates = [], []
    earlier = months if without_plan is None else without_plan
    for known in range(max(1, len(months) - ORIGINS + 1), len(months) + 1):
        past = (months if known == len(months) else earlier).iloc[:known]
        ahead = months.index[known - 1] + np.arange(1, 13)
        customers = past["customers"].to_numpy("float64")
        name, plain = naive(customers)
        trend, actual = damped_trend(customers), earlier.reindex(ahead)
        frame = pd.DataFrame(
            {
                "origin_month": months.index[known - 1],
                "period_month": ahead,
                "step": np.arange(1, AHEAD + 1),
                "naive_method": name,
                "naive_customers": plain,
                "damped_trend": plain if trend is None else trend,
                "naive_value": naive(past["value"].to_numpy("float64"))[1],
                "actual_customers": actual["customers"].to_numpy("float64"),
                "actual_value": actual["value"].to_numpy("float64"),
            }
        )
        frames.append(frame)
        rows = pd.concat(frames)
        gate = served(rows, rows["period_month"] <= months.index[known - 1])
        gates.append({"origin_month": months.index[known - 1]} | gate)
    if not frames:
        return pd.DataFrame(columns=list(TYPES)).astype(TYPES)
    frame = pd.concat(frames, ignore_index=True).merge(pd.DataFrame(gates))
    is_trend = frame["is_trend"]
    frame["method"] = frame["naive_method"].mask(is_trend, "damped_trend")
    frame["new_customers"] = frame["naive_customers"].mask(
        is_trend, frame["damped_trend"]
    )
    frame["relative_error"] *= np.sqrt(frame["step"])
    for name in ("origin_month", "period_month"):
        frame[name] = [month.to_timestamp().date() for month in frame[name]]
    return frame[list(TYPES)].astype(TYPES)


def ended_months(monthly, cutoffs, who=""):
    """New customers and value of the months that had ended by the as-of date.

    Args:
        monthly: frame of int_cohorts__monthly.
        cutoffs: frame of int_cutoffs.
        who: end of the names of the columns, such as _without_plan; "" is everybody.

    Returns:
        Frame of customers and value, with an index of monthly periods without gaps.
    """
    if monthly.empty:
        return pd.DataFrame(columns=["customers", "value"])
    today = cutoffs.loc[cutoffs["is_production"].astype(bool), "cutoff_date"]
    today = pd.Timestamp(today.iloc[0])
    rows = monthly[pd.to_datetime(monthly["cutoff_date"]) == today]
    first, month = (
        pd.PeriodIndex(pd.to_datetime(rows[name]), freq="M")
        for name in ("cohort_month", "period_month")
    )
    customers = rows["active_customers" + who].to_numpy("float64") * (first == month)
    value = rows["value_amount" + who].to_numpy("float64", na_value=np.nan)
    months = pd.DataFrame({"customers": customers, "value": value}, index=month)
    months = months.groupby(level=0).sum(min_count=1)
    if months.empty:
        return months
    ended = (today + pd.Timedelta(days=1)).to_period("M") - 1
    every = pd.period_range(months.index.min(), ended, freq="M")
    # without any value there is none to fill
    fill = 0.0 if months["value"].notna().any() else np.nan
    return months.reindex(every).fillna({"customers": 0.0, "value": fill})


def _to_pandas(relation):
    # DuckDB gives relations, BigQuery frames.
    return relation if isinstance(relation, pd.DataFrame) else relation.df()


def model(dbt, session):
    """Forecast the new customers of every origin."""
    dbt.config(materialized="table")
    monthly = _to_pandas(dbt.ref("int_cohorts__monthly"))
    cutoffs = _to_pandas(dbt.ref("int_cutoffs"))
    months = (ended_months(monthly, cutoffs, who) for who in ("", "_without_plan"))
    return every_origin(*months)
