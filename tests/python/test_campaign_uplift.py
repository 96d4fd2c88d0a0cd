"""campaign_uplift on randomised tests whose effect is known: all draws in one query.

4,000 draws of each: the share of intervals that hold the effect is then known to
0.35 points, and 94 to 96 % asks for three of those.
"""

import duckdb
import numpy as np
import pandas as pd
import pytest
from test_builds import Build

DRAWS, TREATED, CONTROL = 4000, 300, 150
# Mean margin without the campaign is 0.7 * 30; the campaign adds a fifth of it.
EFFECT = 0.2 * 21
# cov(x, y)^2 / (var(x) var(y)) = 210^2 / (300 * 609)
RHO_SQUARED = 0.2414


def simulate(rng, lift):
    """Customers of all campaigns: CLV x, and a margin around it that may be 0."""
    size = TREATED + CONTROL
    is_treated = np.tile(np.arange(size) < TREATED, DRAWS)
    x = rng.gamma(3, 10, DRAWS * size)
    margin = (rng.random(DRAWS * size) < 0.7) * x * rng.gamma(4, 0.25, DRAWS * size)
    return pd.DataFrame(
        {
            "campaign_id": np.repeat([f"{lift}-{k}" for k in range(DRAWS)], size),
            "arm": np.where(is_treated, "mail", "control"),
            "is_in_two_arms": False,
            "cost_amount": np.where(is_treated, 1.0, 0.0),
            "margin_amount": np.where(is_treated, 1 + lift, 1.0) * margin,
            "covariate": x,
            "covariate_source": "clv",
            "is_completed": True,
            "assigned_date": pd.Timestamp("2024-01-01"),
            "cutoff_date": pd.Timestamp("2023-12-31"),
        }
    )


@pytest.fixture(scope="module")
def uplift(tmp_path_factory):
    """The model's rows, by lift."""
    build = Build(tmp_path_factory.mktemp("uplift"))
    build.call("dbt", "compile", "--select", "campaign_uplift", knows=True)
    sql = next(build.folder.glob("target/compiled/**/campaign_uplift.sql")).read_text()
    rng = np.random.default_rng(20240131)
    outcomes = pd.concat([simulate(rng, 0.2), simulate(rng, 0)])
    with duckdb.connect() as connection:
        connection.register("outcomes", outcomes)
        connection.execute(
            """
            attach ':memory:' as warehouse;
            create schema warehouse.clv_intermediate;
            create schema warehouse.clv_reference;
            create schema warehouse.clv;
            create table warehouse.clv.campaign_guardrails as
            select '' as campaign_id, '' as arm, true as is_over_budget,
                true as is_frozen
            where false;
            create table warehouse.clv_reference.campaign_plans as
            select '' as campaign_id, '' as arm, 0.5::double as planned_share,
                0.1::double as planned_lift, 1::decimal(18, 4) as planned_cost_amount
            where false;
            create table warehouse.clv_intermediate.int_campaigns__outcomes as
            select * replace (cost_amount::decimal(18, 4) as cost_amount,
                margin_amount::decimal(18, 4) as margin_amount)
            from outcomes
            """
        )
        rows = connection.sql(sql).df()
    lift = rows["campaign_id"].str.split("-").str[0]
    return {"effect": rows[lift == "0.2"], "none": rows[lift == "0"]}


@pytest.mark.parametrize("estimate", ["uplift", "uplift_raw"])
@pytest.mark.parametrize(("case", "effect"), [("effect", EFFECT), ("none", 0)])
def test_the_interval_holds_the_effect_in_95_of_100_draws(
    uplift, case, effect, estimate
):
    rows = uplift[case]
    assert len(rows) == DRAWS
    lower, upper = rows[f"{estimate}_lower_95"], rows[f"{estimate}_upper_95"]
    covered = ((lower <= effect) & (effect <= upper)).mean()
    assert 0.94 <= covered <= 0.96
    error = rows[estimate].std() / np.sqrt(DRAWS)
    assert abs(rows[estimate].mean() - effect) < 3 * error


def test_the_covariate_narrows_the_interval_as_it_explains(uplift):
    rows = uplift["none"]
    assert rows["is_adjusted"].all()
    assert rows["rho_squared"].mean() == pytest.approx(RHO_SQUARED, abs=0.01)
    widths = [
        rows[f"{each}_upper_95"] - rows[f"{each}_lower_95"]
        for each in ("uplift", "uplift_raw")
    ]
    narrowed = (widths[0] ** 2).mean() / (widths[1] ** 2).mean()
    assert narrowed == pytest.approx(1 - RHO_SQUARED, abs=0.01)
    # and it is right to: the estimates themselves scatter less
    scatter = rows["uplift"].var() / rows["uplift_raw"].var()
    assert scatter == pytest.approx(1 - RHO_SQUARED, abs=0.06)
