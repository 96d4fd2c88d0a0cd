"""The shifted-beta-geometric model: published estimates, and a known truth."""

import numpy as np
import pandas as pd
import pytest
from conftest import load
from scipy.special import betaln

# Customers of 1,000 who are there after 0 to 12 renewals, and what Fader & Hardie 2007
# fit to the first seven: alpha, beta, log-likelihood.
PUBLISHED = {
    "High End": (
        [1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394],
        (0.668, 3.806, -1611.2),
    ),
    "Regular": (
        [1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173],
        (0.704, 1.182, -1680.3),
    ),
}


@pytest.fixture(scope="module")
def contracts():
    return load("int_contracts__parameters")


def renewals(plan, customers, period=365):
    """The rows of int_contracts__renewals of customers who began together."""
    return pd.DataFrame(
        {
            "plan": plan,
            "billing_period_days": period,
            "renewal": range(1, len(customers)),
            "customers_at_risk": customers[:-1],
            "retained_customers": customers[1:],
        }
    )


@pytest.mark.parametrize("plan", PUBLISHED)
def test_the_published_estimates_are_reproduced(contracts, plan):
    customers, (alpha, beta, log_likelihood) = PUBLISHED[plan]
    (fit,) = contracts.fit_all(renewals(plan, customers[:8])).to_dict("records")
    assert fit["alpha"] == pytest.approx(alpha, abs=5e-4)
    assert fit["beta"] == pytest.approx(beta, abs=5e-4)
    assert fit["log_likelihood"] == pytest.approx(log_likelihood, abs=0.05)
    assert (fit["fitted_to"], fit["is_flagged"]) == ("plan", False)
    # the five years after the fit, which it has not seen
    t = np.arange(8, 13)
    survival = np.exp(betaln(fit["alpha"], fit["beta"] + t))
    survival /= np.exp(betaln(fit["alpha"], fit["beta"]))
    assert survival == pytest.approx(np.array(customers[8:]) / 1000, abs=0.02)


def test_customers_who_began_at_different_times_give_the_truth(contracts):
    rng = np.random.default_rng(3)
    lives = rng.geometric(rng.beta(0.7, 4, 100_000))
    seen = rng.integers(1, 40, len(lives))
    rows = renewals("monthly", [0] * 40, 30)
    for row in rows.index:
        could = (lives > row) & (seen > row)
        rows.loc[row, "customers_at_risk"] = could.sum()
        rows.loc[row, "retained_customers"] = (could & (lives > row + 1)).sum()
    (fit,) = contracts.fit_all(rows).to_dict("records")
    assert fit["alpha"] == pytest.approx(0.7, rel=0.03)
    assert fit["beta"] == pytest.approx(4, rel=0.03)


def test_the_gradient_is_that_of_the_likelihood(contracts):
    rows = renewals("a", PUBLISHED["Regular"][0])
    names = ["renewal", "customers_at_risk", "retained_customers"]
    data = [rows[name].to_numpy(float) for name in names]
    _, gradient = contracts.log_likelihood((0.9, 2.0), *data)
    for k, step in enumerate(np.eye(2) * 1e-5):
        above, below = (
            contracts.log_likelihood(np.array([0.9, 2.0]) + s * step, *data)[0]
            for s in (1, -1)
        )
        assert gradient[k] == pytest.approx((above - below) / 2e-5, rel=1e-6)


def test_a_small_plan_takes_the_fit_of_its_billing_period_only(contracts):
    yearly = renewals("yearly", PUBLISHED["High End"][0])
    small = renewals("small", [50, 40, 30])
    monthly = renewals("monthly", [50, 40, 30], 30)
    fits = contracts.fit_all(pd.concat([small, monthly, yearly])).set_index("plan")
    assert fits["fitted_to"].to_dict() | {"monthly": None} == {
        "monthly": None,
        "small": "billing_period",
        "yearly": "plan",
    }
    assert fits.loc["small", "customers"] == 1050
    assert np.isnan(fits.loc["monthly", "alpha"])
    assert "too few to fit" in fits.loc["monthly", "message"]
    assert fits["is_flagged"].to_dict() == {
        "monthly": True,
        "small": True,
        "yearly": False,
    }


def test_customers_who_do_not_differ_have_a_constant_retention(contracts):
    rows = renewals("alike", [round(1e6 * 0.8**k) for k in range(10)])
    (fit,) = contracts.fit_all(rows).to_dict("records")
    rate = (fit["beta"] + np.arange(30)) / (fit["alpha"] + fit["beta"] + np.arange(30))
    assert rate == pytest.approx(0.8, abs=2e-3)
    assert "no interior optimum" in fit["message"]


def test_without_a_plan_there_is_no_row_and_types_stay(contracts):
    frame = contracts.fit_all(renewals("a", [1]))
    assert frame.empty
    assert list(frame.columns) == list(contracts.COLUMNS)


def test_a_column_of_ids_is_no_plan(contracts):
    most = contracts.MOST_PLANS
    rows = pd.concat([renewals("a", [3, 2])] * (most + 1))
    rows["plan"] = [
        f"plan {k}" for k in range(most + 1) for _ in range(len(rows) // (most + 1))
    ]
    with pytest.raises(ValueError, match="1,001 plans in column plan, more than 1,000"):
        contracts.fit_all(rows)
