"""scripts/benchmark.py: the log that it makes, and that its legs run and agree."""

import json
import sys

import duckdb
import numpy as np
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import benchmark


def made(folder, customers, seed):
    (folder / "input").mkdir(parents=True)
    log = benchmark.make_log(folder, customers, seed)
    return log, f"'{folder / 'input' / 'transactions.parquet'}'"


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    return {
        "first": made(folder / "first", 2000, 1),
        "again": made(folder / "again", 2000, 1),
        "other": made(folder / "other", 2000, 2),
        "large": made(folder / "large", 40_000, 1),
    }


def rows(query):
    return duckdb.sql(query).fetchall()


def test_the_same_seed_makes_the_same_log_and_another_one_another(logs):
    first, again, other = (rows(f"from {logs[k][1]}") for k in logs if k != "large")
    assert first == again
    assert len(first) > 10_000
    assert not set(first) & set(other)


def test_a_larger_log_holds_the_smaller_one(logs):
    """Customers do not depend on how many there are."""
    small, large = logs["first"][1], logs["large"][1]
    assert rows(f"select count(*) from (from {small} except all from {large})") == [
        (0,)
    ]


def test_what_is_said_of_the_log_is_in_it(logs):
    log, file = logs["large"]
    lines, purchases, customers, revenue = rows(
        "select count(*), count(distinct order_id), count(distinct user_id), "
        f"sum(amount) from {file}"
    )[0]
    assert (log["lines"], log["purchases"]) == (lines, purchases)
    assert log["customers"] == customers == 40_000
    assert log["revenue"] == pytest.approx(float(revenue))
    assert 0.45 < log["one_time_share"] < 0.55
    assert 9 < lines / customers < 11
    assert rows(f"select count(*) from (select distinct * from {file})") == [(lines,)]
    days = rows(f"select min(cast(ts as date)), max(cast(ts as date)) from {file}")
    assert days == [(benchmark.FIRST_DAY, benchmark.AS_OF)]


def test_its_customers_buy_after_bg_nbd_and_gamma_gamma(logs, purchases, gamma_gamma):
    """Fits recover the truth from times and values that are not yet counted by day."""
    end = f"timestamp '{benchmark.FIRST_DAY}' + interval {benchmark.DAYS} day"
    x, t_x, age, mean = np.array(
        rows(f"""
            select count(*) - 1, epoch(max(ts) - min(ts)) / 86400,
                epoch({end} - min(ts)) / 86400, avg(value)
            from (
                select user_id, min(ts) as ts, cast(sum(amount) as double) as value
                from {logs["large"][1]} group by user_id, order_id
            )
            group by user_id""")
    ).T
    for fit, names in (
        (purchases.fit_purchases("bgnbd", x, t_x, age), ("r", "alpha", "a", "b")),
        (gamma_gamma.fit_gamma_gamma(x + 1, mean), ("p", "q", "gamma")),
    ):
        assert fit["converged"]
        truth = np.log([benchmark.TRUTH[name] for name in names])
        error = np.sqrt(np.diag(fit["cov_ln"]))
        assert np.all(error < 0.1)
        assert np.all(np.abs(np.log(fit["params"]) - truth) < 4 * error)


def test_the_floor_and_lifetimes_find_every_customer(capsys, tmp_path):
    legs = ("floor", "lifetimes")
    benchmark.main(
        ["--customers", "2000", "--folder", str(tmp_path), "--json", "--legs", *legs]
    )
    report = json.loads(capsys.readouterr().out)
    for leg in report["legs"].values():
        assert leg["customers"] == report["log"]["customers"] == 2000
        assert leg["cpu"] > 0
        assert leg["peak_mib"] > 30


@pytest.mark.slow
def test_what_this_project_takes_is_told_by_stage(capsys, tmp_path):
    legs = ("score", "fit", "lookup")
    benchmark.main(
        ["--customers", "2000", "--folder", str(tmp_path), "--json", "--legs", *legs]
    )
    found = json.loads(capsys.readouterr().out)["legs"]
    assert "other" not in found["score"]["stages"]
    assert 0 < found["score"]["work"] < found["score"]["wall"]
    assert found["fit"]["histories"] > found["fit"]["pairs"] > 0
    assert min(found["fit"]["fit_cpu"], found["fit"]["expectations_cpu"]) > 0
    assert found["lookup"]["clv_p95_ms"] > 0
