"""Daily runs on DuckDB: they add to a full run what a full run would have made."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from test_builds import Build

pytestmark = pytest.mark.slow

FULL, DAILY = "2024-05-20", "2024-06-02"
VARS = {"clv_refund_days": 60, "clv_lookback_days": 28}
HISTORY = [
    *("int_as_of", "int_cutoffs", "int_transactions__resolved"),
    *("int_refunds__moves", "int_refunds__aimed", "int_refunds__matched"),
    *("int_purchase_days", "int_purchases__to_date", "int_customers__profiled"),
    *("int_histories__observed", "customers", "transactions"),
]
LINE = (
    "transacted_at, customer_id, merged_user_id, order_id, sku, category, channel, "
    "country, currency, delivered_amount, delivered_variable_cost, "
    "delivered_discount_amount, is_flagged_refund"
)
TABLES = {
    "clv_intermediate.int_transactions__resolved": LINE,
    "clv_intermediate.int_refunds__matched": "refund_id, purchase_date",
    "clv_intermediate.int_purchase_days": "customer_id, purchase_date, known_from",
    "clv_intermediate.int_purchases__to_date": "customer_id",
    "clv_intermediate.int_customers__profiled": "customer_id",
    "clv.customers": "customer_id",
    "clv.transactions": "transaction_id",
}


@pytest.fixture(scope="module")
def log():
    """Two years of orders of 400 customers, refunds of every reach among them."""
    rng = np.random.default_rng(3)
    n = 6000
    days = pd.to_datetime("2022-06-15") + pd.to_timedelta(rng.integers(0, 719, n), "D")
    orders = pd.DataFrame(
        {
            "user_id": rng.integers(0, 400, n).astype(str),
            "order_id": [f"o{i}" for i in range(n)],
            "ts": days + pd.to_timedelta(rng.integers(0, 86_400, n), "s"),
            "amount": np.round(rng.gamma(2, 20, n), 2),
            "channel": rng.choice(["web", "store"], n),
            "is_refund": False,
        }
    )
    # some orders come in two lines, days apart
    split = orders.sample(300, random_state=1)
    split = split.assign(ts=split["ts"] + pd.to_timedelta(rng.integers(0, 9, 300), "D"))
    back = orders.sample(900, random_state=2)
    share = rng.choice([0.3, 1.0], len(back))
    refunds = back.assign(
        ts=back["ts"] + pd.to_timedelta(rng.integers(0, 300, len(back)), "D"),
        amount=np.round(-back["amount"] * share, 2),
        is_refund=True,
        order_id=back["order_id"].where(rng.random(len(back)) < 0.7),
    )
    lines = pd.concat([orders, split, refunds], ignore_index=True)
    return lines[lines["ts"] < "2024-06-03"]


@pytest.fixture(scope="module")
def loads(log):
    """The log as first loaded, and as loaded two weeks later: late, mended, deleted."""
    recent = (log["ts"] >= "2024-05-02") & (log["ts"] <= "2024-05-20")
    draw = np.random.default_rng(4).random(len(log))
    late, mended, deleted = (
        recent & (draw > a) & (draw < a + 0.1) for a in (0, 0.2, 0.4)
    )
    first = log[(log["ts"] < "2024-05-21") & ~late].copy()
    first.loc[mended, "amount"] *= 2
    return first, log[~deleted]


@pytest.fixture(scope="module")
def daily(loads, tmp_path_factory):
    """A full run on the first load, then a daily one on the second."""
    first, second = loads
    build = Build(tmp_path_factory.mktemp("daily")).load(transactions=first)
    wanted = ("+customers", "+transactions", "int_orders__closed", "int_logs")
    build.build("--select", *wanted, clv_as_of_date=FULL, **VARS)
    build.load(transactions=second)
    build.build(
        *("--select", *HISTORY),
        clv_run="daily",
        clv_as_of_date=DAILY,
        **VARS,
    )
    return build


@pytest.fixture(scope="module")
def full(loads, tmp_path_factory):
    """A full run on the second load."""
    build = Build(tmp_path_factory.mktemp("full")).load(transactions=loads[1])
    build.build("--select", "+customers", "+transactions", clv_as_of_date=DAILY, **VARS)
    return build


@pytest.mark.parametrize("table", TABLES)
def test_a_daily_run_leaves_what_a_full_run_makes(daily, full, table):
    # the cap of the last full run holds until the next
    query = f"select * {{}} from {table} order by {TABLES[table]}"
    query = query.format("exclude (capped_value_amount)" if "to_date" in table else "")
    pd.testing.assert_frame_equal(daily.read(query), full.read(query))


def test_the_loads_differ_in_late_mended_and_deleted_lines(loads):
    first, second = loads
    early = second[second["ts"] < "2024-05-21"]
    both = first.merge(
        early, on=["order_id", "ts", "user_id"], how="outer", indicator=True
    )
    assert set(both["_merge"]) == {"left_only", "right_only", "both"}
    assert (both["amount_x"] == 2 * both["amount_y"]).any()


def test_a_daily_run_fails_on_a_history_that_lacks_a_column(daily):
    """As an upgrade leaves one: the months that stay would not have it."""
    table = "clv_intermediate.int_transactions__resolved"
    before = daily.read(f"select count(*) from {table}")

    def rename(old, new):
        with duckdb.connect(str(daily.database)) as connection:
            connection.execute(f"alter table {table} rename {old} to {new}")

    rename("is_counted", "disposition")
    printed = daily.build(
        *("--select", "int_transactions__resolved"),
        may_fail=True,
        clv_run="daily",
        clv_as_of_date=DAILY,
        **VARS,
    )
    rename("disposition", "is_counted")
    assert daily.exit_code == 1
    assert "out of sync" in printed
    pd.testing.assert_frame_equal(daily.read(f"select count(*) from {table}"), before)


def test_a_daily_run_refuses_other_variables_than_the_full_run_had(daily):
    """It would add margins of another rate to those that are there."""
    before = daily.read("from clv.customers order by all")
    printed = daily.build(
        *("--select", "int_as_of"),
        may_fail=True,
        knows=True,
        clv_run="daily",
        clv_as_of_date=DAILY,
        clv_margin_rate=0.35,
        clv_input_columns={"transactions": {"country": None}},
        **(VARS | {"clv_lookback_days": 60}),
    )
    assert daily.exit_code != 0
    changed = (
        "clv_input_columns, clv_lookback_days (28 then, 60 now), clv_margin_rate (1.0"
    )
    assert f"other values have {changed} then, 0.35 now)" in printed
    pd.testing.assert_frame_equal(daily.read("from clv.customers order by all"), before)


@pytest.mark.parametrize(
    ("model", "variables", "sentence"),
    [
        # Fewer days for refunds close more: the full run would look too old.
        (
            "int_as_of",
            {"clv_refund_days": 1, "clv_days_between_full_runs": 14},
            "clv_refund_days (60 then, 1 now)",
        ),
        # As after an upgrade: the full run before built histories, and no forecast.
        (
            "int_predictions__expected",
            {},
            'int_corrections" does not exist. Run a full build first',
        ),
    ],
)
def test_a_daily_run_names_what_the_full_one_had_or_lacks(
    daily, model, variables, sentence
):
    printed = daily.build(
        *("--select", model),
        may_fail=True,
        knows=True,
        clv_run="daily",
        clv_as_of_date=DAILY,
        **(VARS | variables),
    )
    assert daily.exit_code != 0
    assert sentence in printed
