"""The overlay from the log to the marts: it wins, serves, and lasts a daily run."""

import numpy as np
import pandas as pd
import pytest
from test_builds import Build

pytestmark = pytest.mark.slow
START, DAYS = pd.Timestamp("2022-10-01"), 640


def shop():
    """Half of the customers buy at a discount, and more each month; the others less."""
    rng = np.random.default_rng(5)
    lines = []
    for customer in range(1200):
        loves, level = customer % 2, rng.gamma(6, 4)
        day = rng.uniform(0, 120)
        while day < DAYS:
            amount = (
                level * rng.gamma(8, 1 / 8) * (1 + (day / 120 if loves else -day / 900))
            )
            lines.append((f"c{customer}", day, amount, 0.2 * amount * loves))
            day += rng.exponential(20)
    log = pd.DataFrame(lines, columns=["user_id", "day", "amount", "discount_amount"])
    log["ts"] = START + pd.to_timedelta(log.pop("day").astype(int), unit="D")
    log["category"] = "c" + (rng.integers(0, 5, len(log))).astype(str)
    return log.round({"amount": 2, "discount_amount": 2})


@pytest.fixture(scope="module")
def log():
    return shop()


@pytest.fixture(scope="module")
def won(log, tmp_path_factory):
    build = Build(tmp_path_factory.mktemp("overlay")).load(
        transactions=log[log["ts"] < "2024-06-21"]
    )
    build.build(
        tests=True,
        clv_as_of_date="2024-06-20",
        clv_overlay=True,
        clv_overlay_candidates=["offset", "free", "two_stage"],
    )
    return build


def test_the_gate_lets_it_in_and_it_keeps_its_word(won):
    gate = won.read("from clv.overlay_gate where horizon_days = 90")
    everyone = gate[gate["cohort_group"] == "everyone"].iloc[0]
    assert everyone["is_overlay"]
    assert everyone["cutoffs"] == 2
    # the baseline is blended with customers' earlier value, which explains part of it
    assert everyone["overlay_rmse"] < 0.95 * everyone["baseline_rmse"]
    # as it would have been decided then
    errors = won.read(
        """
        select method, rmse from clv.model_backtest
        where group_type = 'all' and horizon_days = 90 and cutoff_date = '2024-03-21'
        """
    ).set_index("method")["rmse"]
    assert errors["overlay_gated"] == pytest.approx(errors["overlay"])
    assert errors["overlay"] < 0.95 * errors["auto"]
    assert errors["overlay"] < 0.9 * errors["purchase_model"]


def test_it_serves_and_says_why(won):
    served = won.read(
        """
        select clv_source, count(*) as customers from clv.customer_lifetime_value
        group by 1 order by 2 desc
        """
    )
    assert served["clv_source"].iloc[0] == "overlay"
    # the factors of a customer are what was made of their baseline
    factors = won.read(
        """
        select
            overlay_value / product(multiplier) as offset_value,
            any_value(baseline_value) as baseline_value
        from clv.clv_explanations
        inner join clv.overlay_predictions using (customer_id)
        group by customer_id, overlay_value
        """
    )
    floor = factors["offset_value"] - factors["baseline_value"]
    assert len(factors) > 1000
    assert np.ptp(floor) < 1e-6 < floor.min()
    words = won.read("select distinct explanation from clv.clv_explanations")
    assert words["explanation"].str.fullmatch(r"×\d+\.\d\d: \w.*").all()


def test_a_daily_run_keeps_the_factor(won, log, tmp_path):
    factors = """
        select clv_90d / clv_90d_p90 as ratio, clv_90d, customer_id, clv_source
        from clv.customer_lifetime_value order by customer_id
    """
    before = won.read(factors)
    kept = won.read("from clv_intermediate.int_overlay__served order by customer_id")
    won.load(transactions=log[log["ts"] < "2024-06-23"])
    won.build(
        *("--selector", "daily_scoring"),
        clv_run="daily",
        clv_as_of_date="2024-06-22",
        clv_overlay=True,
        clv_overlay_candidates=["offset", "free", "two_stage"],
    )
    after = won.read(factors)
    pd.testing.assert_frame_equal(
        kept, won.read("from clv_intermediate.int_overlay__served order by customer_id")
    )
    assert (after["clv_source"] == "overlay").sum() == (
        before["clv_source"] == "overlay"
    ).sum()
    expected = won.read(
        """
        select served.factor * (scores.clv_90d + served.floor_value) as clv_90d
        from clv_intermediate.int_overlay__served as served
        inner join clv_intermediate.int_predictions__scored as scores
            using (customer_id)
        where scores.cutoff_date = '2024-06-22'
        order by customer_id
        """
    )["clv_90d"]
    served = after.loc[after["clv_source"] == "overlay", "clv_90d"]
    np.testing.assert_allclose(served, expected, rtol=1e-9)
    # equity is what is served, day by day
    equity = won.read(
        "select clv from clv.customer_equity_daily where horizon_days = 90 "
        "order by as_of_date"
    )["clv"]
    totals = [frame["clv_90d"].sum() for frame in (before, after)]
    np.testing.assert_allclose(equity, totals, rtol=1e-9)
    baseline = won.read(
        "select clv from clv.customer_equity where is_production and horizon_days = 90"
    )["clv"]
    assert abs(baseline[0] / totals[0] - 1) > 1e-6
