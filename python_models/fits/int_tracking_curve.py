"""Expected purchases of a new customer, by day since the first purchase.

BG/NBD (Fader, Hardie & Lee 2005): given the dropout probability p the expected repeat
purchase days by day t are (1 - (1 + p t / alpha)^-r) / p, and p ~ Beta(a, b). The mean
over p is taken by Gauss quadrature: smooth, without the singularity of the closed form
at a = 1 (its 2F1 also cancels badly for a, b in the thousands).

MBG/NBD (Batislam, Denizel & Filiztekin 2007): the same times 1 - p, since a customer
may also leave right after the first purchase.

Pareto/NBD (Schmittlein, Morrison & Colombo 1987): r beta / (alpha (s - 1)) times
1 - (beta / (beta + t))^(s - 1), in a form without a singularity at s = 1.

BG/CNBD-k and MBG/CNBD-k (Reutterer, Platzer & Schroeder 2021): every k-th arrival of
such a process is a purchase.

BG/BB (Fader, Hardie & Shang 2010), of a monthly log, whose days are the 15th: whole
months that have passed by day t.

Share of customers with m repeat purchases by day t: with dropout after a purchase, the
negative binomial share without dropout times the probability of no dropout in between;
under Pareto/NBD the sum over days of those who reach m on the day and have not left
by then.

Grain: one row per stratum, cutoff date of the fit and day, from 0 to the days between
the first transaction and the as-of date; of a fit with a season to twice as many, since
its days are those of season-warped time.
"""

import numpy as np
import pandas as pd
from scipy.linalg import eigh_tridiagonal
from scipy.special import betaln, exprel, gammaln
from scipy.stats import nbinom

# Over the dropout probability; nodes that are enough for decades of daily buyers.
DROPOUT_NODES = 256
# Shares of customers are tabulated for 1, 2, ... 7 repeat purchase days.
MOST_PURCHASES = 7
MONTH = 365.25 / 12  # days


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


def curve(times, fit):
    """E[X(t)] of a new customer.

    Args:
        times: days since the first purchase, shape (m,).
        fit: mapping with purchase_model, its parameters and k.

    Returns:
        Array of shape (m,).
    """
    times = np.asarray(times, float)
    if fit["purchase_model"] == "bgbb":
        months, stays, _ = months_passed(times, fit)
        chance = fit["alpha"] / (fit["alpha"] + fit["beta"])
        return chance * (stays.cumsum() - 1)[months]
    if fit["purchase_model"] == "paretonbd":
        passed = np.log1p(times / fit["beta"])
        # (1 - exp(-(s - 1) passed)) / (s - 1), which tends to passed
        alive = passed * exprel((1 - fit["s"]) * passed)
        return fit["r"] * fit["beta"] / fit["alpha"] * alive
    p, weight = beta_quadrature(fit["a"], fit["b"], DROPOUT_NODES)
    stays = 1 - p if fit["purchase_model"].startswith("m") else 1
    gone = share_gone(p, fit["r"], times[:, None] / fit["alpha"], k=fit["k"])
    return gone @ (weight * stays / p)


def months_passed(times, fit):
    """Months that have passed, of BG/BB.

    From a 15th to the 15th of the next months is less than three days less than so many
    months of mean length.

    Returns:
        Whole months by each of the times, shape (m,); P(not gone after i months), i = 0
        to their most; function of active months m -> P(m of i), i = 0 to their most.
    """
    months = np.floor((np.asarray(times, float) + 3) / MONTH).astype(int)
    i = np.arange(months.max() + 1)
    alpha, beta, gamma, delta = (fit[name] for name in ("alpha", "beta", "a", "b"))
    stays = np.cumprod((delta + i[:-1]) / (gamma + delta + i[:-1]))

    def active(m):
        idle = np.maximum(i - m, 0)
        ln_p = betaln(alpha + m, beta + idle) - betaln(alpha, beta)
        ln_p += gammaln(i + 1) - gammaln(m + 1) - gammaln(idle + 1)
        return np.where(i < m, 0.0, np.exp(ln_p))

    return months, np.append(1.0, stays), active


def reached(day, fit):
    """P(X(t) >= m) of a new customer, m = 1 to MOST_PURCHASES.

    Args:
        day: consecutive days since the first purchase from 0, shape (m,).
        fit: mapping with purchase_model, its parameters and k.

    Returns:
        Array of shape (m, MOST_PURCHASES).
    """
    m = np.arange(MOST_PURCHASES)
    if fit["purchase_model"] == "bgbb":
        months, stays, active = months_passed(day, fit)
        # m of i months where they stay exactly i, or are there after i
        gone = np.append(-np.diff(stays), 0.0)
        count = np.array(
            [
                np.append(0.0, (gone * active(k)).cumsum()[:-1]) + stays * active(k)
                for k in m
            ]
        )
        return np.maximum(1 - count.cumsum(axis=0), 0).T[months]
    success = fit["alpha"] / (fit["alpha"] + np.asarray(day, float)[:, None])
    ever = nbinom.sf((m + 1) * fit["k"] - 1, fit["r"], success)
    if fit["purchase_model"] == "paretonbd":
        # Share still active, on average over each day (Simpson)
        half = np.arange(2 * len(day) - 1) / 2
        alive = (1 + half / fit["beta"]) ** -fit["s"]
        alive = (alive[:-2:2] + 4 * alive[1::2] + alive[2::2]) / 6
        newly = np.diff(ever, axis=0) * alive[:, None]
        return np.concatenate([ever[:1], newly.cumsum(axis=0)])
    stay = (fit["b"] + m) / (fit["a"] + fit["b"] + m)
    if not fit["purchase_model"].startswith("m"):  # no dropout before the first repeat
        stay = np.concatenate([[1.0], stay[:-1]])
    return ever * stay.cumprod()


def curves(parameters, days):
    """Curves of every fit.

    Args:
        parameters: frame with stratum, cutoff_date, purchase_model, the parameters,
            k and season.
        days: the last day.

    Returns:
        DataFrame: stratum, cutoff_date, day, expected_purchases, at_least_1 to
        at_least_7.
    """
    names = [f"at_least_{k + 1}" for k in range(MOST_PURCHASES)]
    frames = []
    for fit in parameters.sort_values(["cutoff_date", "stratum"]).to_dict("records"):
        day = np.arange((2 * days if fit["season"] else days) + 1, dtype="int64")
        frames.append(
            pd.DataFrame(
                {
                    "stratum": fit["stratum"],
                    "cutoff_date": pd.Timestamp(fit["cutoff_date"]).date(),
                    "day": day,
                    "expected_purchases": curve(day, fit),
                }
                | dict(zip(names, reached(day, fit).T, strict=True))
            )
        )
    # Without a row, text and dates need types of their own.
    empty = {
        "stratum": "string",
        "cutoff_date": "date32[pyarrow]",
        "day": "int64",
        "expected_purchases": "float64",
    } | dict.fromkeys(names, "float64")
    if not frames:
        return pd.DataFrame(columns=list(empty)).astype(empty)
    return pd.concat(frames, ignore_index=True)


def _to_pandas(relation):
    # DuckDB gives relations, BigQuery frames.
    return relation if isinstance(relation, pd.DataFrame) else relation.df()


def model(dbt, session):
    """Tabulate what the spec fitted over the days of the transaction log."""
    dbt.config(materialized="table")
    as_of = _to_pandas(dbt.ref("int_as_of"))
    span = pd.to_datetime(as_of["as_of_date"]) - pd.to_datetime(
        as_of["first_transaction_date"]
    )
    fits = _to_pandas(dbt.ref("int_purchases__parameters"))
    # an empty build (dbt build --empty) has no dates
    days = span.dt.days.max() if span.notna().any() else 0
    frame = curves(fits[fits["is_current_spec"].astype(bool)], int(days))
    return frame
