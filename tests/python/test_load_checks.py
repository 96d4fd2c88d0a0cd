"""A bad load stops before anything is built from it; a good one passes.

One set of variables for all of them: with another one dbt would parse everything again.
"""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from test_builds import Build

pytestmark = pytest.mark.slow

ACCEPTED, NEXT = "1998-03-31", "1998-05-15"
VARIABLES = {"clv_backtest_days": []}
WATCHED = (
    "clv.customer_lifetime_value",
    "clv.transactions",
    "clv.customers",
    "clv_intermediate.int_purchase_days",
)


@pytest.fixture(scope="module")
def log():
    """The published sample of CDNOW, 5 % of its orders refunded."""
    path = ROOT / "seeds" / "demo" / "transactions.csv.gz"
    orders = pd.read_csv(path, dtype={"user_id": str}, parse_dates=["ts"])
    ids = pd.read_csv(ROOT / "tests/fixtures/cdnow_sample_ids.csv", dtype=str)
    orders = orders.merge(ids).drop(columns="sample_id")
    back = orders.sample(frac=0.05, random_state=1).copy()
    back["ts"] += pd.Timedelta(days=9)
    return pd.concat(
        [orders.assign(is_refund=False), back.assign(is_refund=True)]
    ).reset_index(drop=True)


def until(log, day):
    return log[log["ts"] <= day]


@pytest.fixture(scope="module")
def good(log, tmp_path_factory):
    """Marts as of March, built from a good load that was accepted."""
    build = Build(tmp_path_factory.mktemp("loads"))
    build.load(transactions=until(log, ACCEPTED))
    selected = [f"+{name.split('.')[1]}" for name in WATCHED[:3]]
    build.build("--select", *selected, **VARIABLES)
    return build


def watched(build):
    return [build.read(f"from {name} order by all") for name in WATCHED]


def checked(build, **variables):
    """Build a mart, with the tests on the way to it."""
    return build.build(
        *("--select", "+transactions", "--indirect-selection=buildable"),
        tests=True,
        may_fail=True,
        **VARIABLES,
        **variables,
    )


def lose_repeats(log):
    repeat = log["ts"] > log.groupby("user_id")["ts"].transform("min")
    lost = repeat & (np.random.default_rng(2).random(len(log)) < 0.2)
    return log[~lost]


def mix_units(log):
    """A tenth of the newest orders in cents."""
    cents = (log["ts"] > "1998-04-01") & (log.index % 10 == 0)
    return log.assign(amount=log["amount"].where(~cents, log["amount"] * 100))


BAD = {
    "duplicated": (
        lambda log: pd.concat([log, log]),
        "transactions.ts gives 1828 lines for 1997-01, the load accepted as of "
        "1998-03-31 gave 914",
    ),
    "last_days_missing": (
        lambda log: until(log, pd.Timestamp(ACCEPTED) - pd.Timedelta(days=30)),
        "transactions.ts gives",
    ),
    "mixed_units": (mix_units, "transactions.amount has a mean of "),
    "refunds_as_orders": (
        lambda log: log.assign(is_refund=False),
        "transactions.is_refund gives 0 refunds for 1997-0",
    ),
    "repeat_orders_lost": (lose_repeats, "transactions.ts gives "),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_load_stops_with_a_sentence_and_leaves_the_marts(good, log, name):
    spoil, sentence = BAD[name]
    before = watched(good)
    good.load(transactions=spoil(until(log, NEXT)))
    printed = " ".join(checked(good).split())
    assert good.exit_code != 0
    said = printed[printed.find("Error: clv: ") :][:300]
    assert said.startswith(f"Error: clv: {sentence}"), said
    assert "clv_accept_load: true" in printed
    for was, remains in zip(before, watched(good), strict=True):
        pd.testing.assert_frame_equal(was, remains)
    assert good.read("from clv_state.accepted_loads")["as_of_date"].nunique() == 1


def test_a_bad_load_that_is_wanted_is_accepted_and_compared_with(good, log, tmp_path):
    build = Build(tmp_path)
    build.database = tmp_path / "copy" / good.database.name
    build.database.parent.mkdir()
    build.database.write_bytes(good.database.read_bytes())
    double = pd.concat([until(log, NEXT)] * 2)
    build.load(transactions=double)
    checked(build, clv_accept_load=True)
    assert build.exit_code == 0
    checked(build)
    assert build.exit_code == 0
    build.load(transactions=until(log, NEXT))
    assert "transactions.ts gives" in checked(build)
    assert build.exit_code != 0


def test_a_good_load_with_late_lines_passes_and_is_accepted(good, log):
    later = until(log, NEXT)
    late = later.sample(frac=0.02, random_state=5)
    late["amount"] += 0.5
    good.load(transactions=pd.concat([later, late]))
    printed = checked(good)
    assert good.exit_code == 0, printed
    accepted = good.read("select max(as_of_date) as day from clv_state.accepted_loads")
    assert str(accepted["day"].iloc[0])[:10] == NEXT


def test_exports_that_overlap_are_counted_as_clv_duplicates_says(log, tmp_path):
    """Their lines have no order id: none says whether they are two orders or one."""
    again = log[log["ts"].between("1998-01-05", "1998-01-31")]
    assert again.groupby(again["ts"].dt.date).size().max() >= 10
    build = Build(tmp_path)
    build.load(transactions=until(pd.concat([log, again]), ACCEPTED))
    assert "without order_id, as where two exports overlap" in checked(build)
    assert build.exit_code != 0
    alone = until(log, ACCEPTED).drop_duplicates()
    for counted, lines in (("rows", len(alone)), ("none", None)):
        checked(build, clv_duplicates=counted)
        assert build.exit_code == 0
        counts = build.read("select sum(line_count) as lines from clv.transactions")
        assert counts["lines"].iloc[0] == (
            lines or len(until(log, ACCEPTED)) + len(again)
        )
    # Once accepted it is no fault any more.
    checked(build)
    assert build.exit_code == 0


def test_a_first_load_that_changes_within_passes_and_says_so_once(log, tmp_path):
    build = Build(tmp_path)
    cents = log.assign(
        amount=log["amount"].where(log["ts"] < "1997-10-01", log["amount"] * 100)
    )
    build.load(transactions=until(cents, ACCEPTED))
    printed = " ".join(checked(build).split())
    assert build.exit_code == 0
    assert printed.count("of this first load") == 1
    assert "clv: transactions.amount has a median of" in printed
    found = build.read("from clv_intermediate.int_loads__checked")
    assert found["fault"].isna().all()
    changed = found.loc[found["notice"].notna(), "transaction_month"]
    assert changed.min() == pd.Timestamp("1997-10-01")
    # accepted, so that the next load is judged beside it
    checked(build)
    assert build.exit_code == 0
    build.load(transactions=until(log, NEXT))
    assert "gives" in checked(build)
    assert build.exit_code != 0
