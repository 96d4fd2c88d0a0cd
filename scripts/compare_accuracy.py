"""Accuracy of a finished build's forecasts against actuals, and of simpler methods.

usage: compare_accuracy.py [--database PATH]

Reads a DuckDB file that a full run has built. For each horizon of 90 days or more, at
the newest cutoff whose outcomes are known and before which the log is as long, it
prints a row per method: the published forecast (mart model_backtest), `lifetimes` as
its documentation shows it (BG/NBD by day, Gamma-Gamma on repeat customers), and what
else the mart compares: the purchase model without corrections, where they change it,
and each customer's last period repeated. All of them see the same purchase days up to
the cutoff. Output is a Markdown table: the one in README.md is that of the demo.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

PROJECT = Path(__file__).resolve().parent.parent
METHODS = {
    "last_horizon": "last period repeated",
    "mean": "mean of all customers",
    "purchase_model": "purchase model, uncorrected",
}
WINDOWS = """
    select horizon_days, max(cutoff_date)
    from clv.model_backtest
    where group_type = 'all' and method = 'last_horizon' and horizon_days >= 90
    group by 1
    order by 1
"""
PUBLISHED = """
    select
        case when mae_above_model = 0 then 'this project' else method end as name,
        mae, rmse, bias, normalised_gini, top_decile_capture
    from clv.model_backtest
    where
        group_type = 'all' and method != 'rfm_cell_mean'
        and not (method = 'purchase_model' and mae_above_model = 0)
        and cutoff_date = $cutoff and horizon_days = $horizon
    order by mae_above_model != 0, mae
"""
PURCHASES = """
    select customer_id, purchase_date, cast(value_amount as double) as value
    from clv_intermediate.int_purchase_days__known
    where cutoff_date = $cutoff
"""
OUTCOMES = """
    select customer_id, cast(value_{horizon}d as double) as actual
    from clv_intermediate.int_histories__held_out
    where cutoff_date = $cutoff
"""


def lifetimes_expects(purchases: pd.DataFrame, cutoff: str, horizon: int) -> pd.Series:
    """Expected value of each customer over the horizon by `lifetimes`."""
    from lifetimes import BetaGeoFitter, GammaGammaFitter
    from lifetimes.utils import summary_data_from_transaction_data

    summary = summary_data_from_transaction_data(
        purchases,
        *("customer_id", "purchase_date", "value"),
        observation_period_end=cutoff,
    )
    x, value = summary["frequency"], summary["monetary_value"]
    counts, values = BetaGeoFitter(), GammaGammaFitter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts.fit(x, summary["recency"], summary["T"])
        repeats = (x > 0) & (value > 0)
        values.fit(x[repeats], value[repeats])
        return counts.conditional_expected_number_of_purchases_up_to_time(
            horizon, x, summary["recency"], summary["T"]
        ) * values.conditional_expected_average_profit(x, value)


def concentration(actual: np.ndarray, order: np.ndarray) -> float:
    """Area between the line of equality and the share that the first hold."""
    share = np.cumsum(actual[order]) / actual.sum()
    return share.mean() - 0.5


def errors(predicted: pd.Series, actual: pd.Series) -> tuple[float, ...]:
    """Return MAE, RMSE, bias, normalised Gini and the share of the top tenth."""
    off = predicted - actual
    ranked = np.argsort(-predicted.to_numpy(), kind="stable")
    best = np.argsort(-actual.to_numpy(), kind="stable")
    values = actual.to_numpy()
    tenth = round(len(values) / 10)
    return (
        off.abs().mean(),
        (off**2).mean() ** 0.5,
        off.sum() / actual.sum(),
        concentration(values, ranked) / concentration(values, best),
        values[ranked[:tenth]].sum() / values.sum(),
    )


def rows(connection: duckdb.DuckDBPyConnection) -> list[tuple]:
    """One row per horizon, cutoff and method."""
    found = []
    for horizon, cutoff in connection.execute(WINDOWS).fetchall():
        window = {"cutoff": cutoff}
        purchases = connection.execute(PURCHASES, window).df()
        outcomes = connection.execute(OUTCOMES.format(horizon=horizon), window).df()
        actual = outcomes.set_index("customer_id")["actual"]
        expected = lifetimes_expects(purchases, str(cutoff), horizon)
        theirs = errors(expected.reindex(actual.index).fillna(0), actual)
        for name, *numbers in connection.execute(
            PUBLISHED, window | {"horizon": horizon}
        ).fetchall():
            found.append((horizon, cutoff, METHODS.get(name, name), *numbers))
            if name == "this project":
                found.append((horizon, cutoff, "`lifetimes`", *theirs))
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = os.environ.get("CLV_DUCKDB_PATH") or "warehouse.duckdb"
    parser.add_argument(
        "--database",
        type=lambda path: PROJECT / path,
        default=default,
        help="the DuckDB file; default: CLV_DUCKDB_PATH, else warehouse.duckdb",
    )
    options = parser.parse_args(arguments)
    if not options.database.is_file():
        sentence = f"Nothing compared: there is no file {options.database}."
        print(sentence, file=sys.stderr)
        return 2
    with duckdb.connect() as connection:
        connection.execute(f"attach '{options.database}' as built (read_only)")
        connection.execute("use built")
        found = rows(connection)
    print("| window | method | MAE | RMSE | bias | Gini | top tenth holds |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for horizon, cutoff, name, mae, rmse, bias, gini, tenth in found:
        window = f"{horizon} days from {cutoff}" if name == "this project" else ""
        print(
            f"| {window} | {name} | {mae:.1f} | {rmse:.1f} | {bias:+.1%} "
            f"| {gini:.3f} | {tenth:.1%} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
