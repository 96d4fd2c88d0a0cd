"""Parameters of the shifted-beta-geometric model of contracts, by maximum likelihood.

Model: Fader & Hardie (2007), "How to Project Customer Retention", Journal of
Interactive Marketing 21. At each renewal a customer leaves with a probability theta of
their own, and theta ~ Beta(alpha, beta) over customers. Of those who have renewed j - 1
times the share (beta + j - 1) / (alpha + beta + j - 1) renews again: retention rises
with tenure although nobody changes, because those likely to leave have left.

The likelihood needs, per renewal, only how many customers could renew and how many did
not, so that customers of any age count, those who are still there included.

Grain: one row per plan and billing period, whatever happens to its fit. A plan with too
few customers takes the fit of all plans of its billing period; where these are too few
as well, alpha and beta are null. Plans of other periods are not pooled: a yearly
renewal says nothing of a monthly one. A fit is flagged when customers do not differ,
which makes alpha and beta run away together: they are as large as they may be then, and
retention is all but constant.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize

COLUMNS = {
    "plan": "str",
    "billing_period_days": "int64",
    "fitted_to": "str",
    "alpha": "float64",
    "beta": "float64",
    "log_likelihood": "float64",
    "customers": "int64",
    "lost_customers": "int64",
    "is_flagged": "bool",
    "message": "str",
}

# With fewer customers or losses, or with the first renewal alone, alpha and beta cannot
# be told apart.
FEWEST_CUSTOMERS = 100
FEWEST_LOSSES = 10
FEWEST_RENEWALS = 2
# A column with more names, such as an id, is no plan. Each has a curve of 50 years.
MOST_PLANS = 1000
LOWEST, HIGHEST = 1e-3, 1e4
STARTS = np.log([[1.0, 1.0], [0.5, 3.0], [10.0, 100.0]])


def log_likelihood(params, renewal, at_risk, kept):
    """Log-likelihood of the renewals of Fader & Hardie (2007), and its gradient.

    Args:
        params: alpha and beta, shape (2,).
        renewal: number of the renewal from 1, shape (m,).
        at_risk: customers who could renew, shape (m,).
        kept: those who did, shape (m,).

    Returns:
        Value, and gradient with respect to alpha and beta, shape (2,).
    """
    alpha, beta = params
    stays, total = beta + renewal - 1, alpha + beta + renewal - 1
    lost = np.sum(at_risk - kept)
    value = lost * np.log(alpha) + kept @ np.log(stays) - at_risk @ np.log(total)
    both = np.sum(at_risk / total)
    return value, np.array([lost / alpha, np.sum(kept / stays)]) - both


def fit_sbg(renewal, at_risk, kept):
    """Maximum-likelihood alpha and beta.

    Args:
        renewal: number of the renewal from 1, shape (m,).
        at_risk: customers who could renew, shape (m,).
        kept: those who did, shape (m,).

    Returns:
        alpha and beta, shape (2,); log-likelihood; whether both are inside the bounds.
    """
    renewal, at_risk, kept = (np.asarray(v, float) for v in (renewal, at_risk, kept))

    def descent(point):
        params = np.exp(point)
        value, gradient = log_likelihood(params, renewal, at_risk, kept)
        return -value / at_risk[0], -gradient * params / at_risk[0]

    bounds = [(np.log(LOWEST), np.log(HIGHEST))] * 2
    options = {"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-10}
    found = [
        minimize(
            descent, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        for start in STARTS
    ]
    params = np.exp(min(found, key=lambda each: each.fun).x)
    inside = np.all((params > LOWEST * 1.001) & (params < HIGHEST * 0.999))
    return params, log_likelihood(params, renewal, at_risk, kept)[0], bool(inside)


def fit_rows(rows):
    """Fit the renewals of one plan, or of several together.

    Args:
        rows: frame with renewal, customers_at_risk and retained_customers.

    Returns:
        dict: columns of the output that describe the fit; alpha and beta are NaN, and
        message says why, where it is too small.
    """
    sums = rows.groupby("renewal")[["customers_at_risk", "retained_customers"]].sum()
    at_risk, kept = sums["customers_at_risk"], sums["retained_customers"]
    customers, losses = int(at_risk.max()), int((at_risk - kept).sum())
    fit = {"customers": customers, "lost_customers": losses, "message": ""}
    fit |= dict.fromkeys(("alpha", "beta", "log_likelihood"), np.nan)
    if (
        customers < FEWEST_CUSTOMERS
        or losses < FEWEST_LOSSES
        or len(sums) < FEWEST_RENEWALS
    ):
        fit["message"] = f"{customers} customers, {losses} lost: too few to fit"
        if len(sums) < FEWEST_RENEWALS:
            fit["message"] = "no second renewal yet"
        return fit
    (alpha, beta), value, inside = fit_sbg(sums.index, at_risk, kept)
    if not inside:
        fit["message"] = "no interior optimum: customers do not differ, or all do"
    return fit | {"alpha": alpha, "beta": beta, "log_likelihood": value}


def fit_all(renewals):
    """Parameters of every plan and billing period.

    Args:
        renewals: frame with plan, billing_period_days and the columns of `fit_rows`.

    Returns:
        DataFrame: the columns of `COLUMNS`, sorted by billing period and plan.

    Raises:
        ValueError: more plans than MOST_PLANS.
    """
    numbers = ["billing_period_days", "renewal"]
    numbers += ["customers_at_risk", "retained_customers"]
    renewals = renewals.astype({"plan": "str", **dict.fromkeys(numbers, "int64")})
    if (plans := renewals["plan"].nunique()) > MOST_PLANS:
        raise ValueError(
            f"clv: input customers names {plans:,} plans in column plan, more than"
            f" {MOST_PLANS:,}: map a column of a few kinds of contracts, or null"
        )
    found = []
    for period, alike in renewals.groupby("billing_period_days", sort=True):
        pooled = fit_rows(alike)
        for plan, rows in alike.groupby("plan", sort=True):
            own = fit_rows(rows)
            notes = [f"plan: {own['message']}"] if own["message"] else []
            fit, fitted_to = own, "plan"
            if np.isnan(own["alpha"]):
                fit, fitted_to = pooled, "billing_period"
                if pooled["message"]:
                    notes.append(f"billing period: {pooled['message']}")
            if np.isnan(fit["alpha"]):
                fit, fitted_to = own, None
            found.append(
                fit
                | {"plan": plan, "billing_period_days": period, "fitted_to": fitted_to}
                | {"is_flagged": bool(notes), "message": "; ".join(notes)}
            )
    return typed(found)


def typed(rows):
    """Frame of `COLUMNS`. Without a value, text needs a type of its own."""
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    text = {column: "string" for column, kind in COLUMNS.items() if kind == "str"}
    return frame.astype(COLUMNS | text)


def _to_pandas(relation):
    # DuckDB gives relations, BigQuery frames.
    return relation if isinstance(relation, pd.DataFrame) else relation.df()


def model(dbt, session):
    """Fit every plan of int_contracts__renewals."""
    dbt.config(materialized="table")
    return fit_all(_to_pandas(dbt.ref("int_contracts__renewals")))
