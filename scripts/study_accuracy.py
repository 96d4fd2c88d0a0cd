"""Errors and coverage of the forecast over rolling windows of several logs.

usage: study_accuracy.py [--every DAYS] [--windows N] [--vars YAML] [--keep DIR] LOG ...

Each LOG is a file or folder that load_input.py reads, or a DuckDB file that an earlier
study has kept. It is built with a backtest cutoff every DAYS days before its end, and
with BG/NBD as challenger; every cutoff learns corrections and ranges from windows that
were complete by then, so that all errors are out of time. The cutoffs of each horizon
are those with outcomes and a log before them that is as long as the horizon.

Prints Markdown tables. Errors, the mean over windows: of purchases the mean absolute
error and the Poisson deviance, of value the mean absolute error and the root mean
square; of the published forecast, the purchase model without corrections, BG/NBD with
Gamma-Gamma alone, the repeat purchases of the last period, and the mean of all. Ranges:
the share of customers within their 80 % range, counted by the PIT as in model_backtest,
over all windows, by fifth of expected value and by class of P(alive), of groups of 100
customers and more, and of the totals.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import yaml

PROJECT = Path(__file__).resolve().parent.parent
HORIZONS = (30, 90, 180, 365)
ALONE = "bgnbd"
SELECTED = ("+int_predictions__scored", "+customer_equity")
LEAST_CUSTOMERS = 100
# P(alive) below which a customer is in the class.
CLASSES = {0.05: "below 5 %", 0.3: "below 30 %", 0.7: "below 70 %", 2: "70 % and more"}
CUSTOMERS = """
    select
        scored.customer_id, scored.cutoff_date,
        scored.probability_alive as alive, scored.frequency_class,
        scored.expected_purchases_{h}d as purchases,
        expected.expected_value_{h}d as value, scored.clv_{h}d_p10 as p10,
        abs(pit.pit - 0.5) < 0.5 - calibration.p10_read as within,
        expected.model_purchases_{h}d as model_purchases,
        expected.model_purchases_{h}d * expected.expected_value as model_value,
        alone.model_purchases_{h}d as alone_purchases,
        alone.model_purchases_{h}d * alone.expected_value as alone_value,
        coalesce(last.purchases, 0) as last_purchases,
        coalesce(last.value, 0) as last_value,
        held_out.purchases_{h}d as actual_purchases,
        cast(held_out.value_{h}d as double) as actual_value
    from int_predictions__scored as scored
    inner join int_predictions__expected as expected
        using (customer_id, cutoff_date, model_version)
    inner join int_predictions__expected as alone
        on
            scored.customer_id = alone.customer_id
            and scored.cutoff_date = alone.cutoff_date
            and alone.purchase_model = '{alone}' and not alone.is_current_spec
    inner join int_histories__held_out as held_out
        on
            scored.customer_id = held_out.customer_id
            and scored.cutoff_date = held_out.cutoff_date
    inner join int_as_of as as_of
        on scored.cutoff_date - {h} >= as_of.first_transaction_date
    left join int_predictions__pit as pit
        on
            scored.customer_id = pit.customer_id
            and scored.cutoff_date = pit.cutoff_date
            and scored.model_version = pit.model_version
            and pit.horizon_days = {h}
    left join int_calibration as calibration
        on
            pit.cutoff_date = calibration.cutoff_date
            and pit.horizon_days = calibration.horizon_days
            and pit.stratum = calibration.stratum
            and pit.range_class = calibration.range_class
    left join (
        select
            known.customer_id, known.cutoff_date,
            count(*) as purchases, sum(cast(known.value_amount as double)) as value
        from (
            select *, min(purchase_date) over (partition by customer_id, cutoff_date)
                as first_date
            from int_purchase_days__known
        ) as known
        where purchase_date > cutoff_date - {h} and purchase_date > first_date
        group by 1, 2
    ) as last
        on
            scored.customer_id = last.customer_id
            and scored.cutoff_date = last.cutoff_date
    where scored.is_current_spec and held_out.purchases_{h}d is not null
"""
TOTALS = """
    select horizon_days, actual_value_amount between lower_80 and upper_80 as within
    from clv.customer_equity
    where is_completed and horizon_days = {h} and lower_80 is not null
"""


def call(*arguments: str, database: Path) -> None:
    """Run a command on the database; its output only where it fails."""
    done = subprocess.run(
        arguments,
        cwd=PROJECT,
        env=os.environ | {"CLV_DUCKDB_PATH": str(database)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"Nothing studied: {done.stdout}{done.stderr}")


def build(log: Path, database: Path, every: int, windows: int, given: dict) -> None:
    """Load the log and build the project with a cutoff every `every` days."""
    script = str(PROJECT / "scripts" / "load_input.py")
    value = ["--value", given["clv_value"]] if "clv_value" in given else []
    call(sys.executable, script, "--input", str(log), *value, database=database)
    days = [every * number for number in range(1, windows + 1)]
    variables = {"clv_backtest_days": days, "clv_challenger_models": [ALONE]} | given
    selected = ["--select", *SELECTED, "--vars", yaml.safe_dump(variables)]
    call("dbt", "seed", "--quiet", database=database)
    call("dbt", "run", "--quiet", *selected, database=database)


def deviance(expected: pd.Series, actual: pd.Series) -> float:
    """Mean Poisson deviance."""
    mean = np.maximum(expected, 1e-9)
    logs = np.where(actual > 0, actual * np.log(np.maximum(actual, 1) / mean), 0)
    return float(2 * np.mean(logs - (actual - mean)))


def errors(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per method: errors, the mean over windows."""
    of = "actual_purchases" if frame["actual_value"].isna().all() else "actual_value"
    found = []
    for _, at in frame.groupby("cutoff_date"):
        methods = {
            "published": (at["purchases"], at["value"]),
            "purchase model": (at["model_purchases"], at["model_value"]),
            "BG/NBD alone": (at["alone_purchases"], at["alone_value"]),
            "last period": (at["last_purchases"], at["last_value"]),
            "mean of all": (
                pd.Series(at["last_purchases"].mean(), at.index),
                pd.Series(at["last_value"].mean(), at.index),
            ),
        }
        for method, (purchases, value) in methods.items():
            off = value - at["actual_value"]
            total = purchases if of == "actual_purchases" else value
            found.append(
                {
                    "method": method,
                    "purchases: MAE": (purchases - at["actual_purchases"]).abs().mean(),
                    "deviance": deviance(purchases, at["actual_purchases"]),
                    "value: MAE": off.abs().mean(),
                    "RMSE": (off**2).mean() ** 0.5,
                    "total": total.sum() / at[of].sum() - 1,
                }
            )
    return pd.DataFrame(found).groupby("method", sort=False).mean()


def coverage(frame: pd.DataFrame) -> dict[str, float]:
    """Share of customers within their 80 % range, by group."""
    within = frame["within"].dropna().astype(float)
    fifth = frame.groupby("cutoff_date")["value"].rank(pct=True, method="first")
    bounds = [-1, *CLASSES]
    alive = pd.cut(frame["alive"], bounds, labels=list(CLASSES.values()), right=False)
    groups = {
        "all": pd.Series("", frame.index),
        "fifth": np.ceil(fifth * 5).astype(int).astype(str),
        "P(alive)": alive.astype(str),
        "p10 > 0": (frame["p10"] > 0).map({True: "yes", False: "no"}),
    }
    found = {}
    for name, group in groups.items():
        for member, mine in within.groupby(group.loc[within.index]):
            if len(mine) >= LEAST_CUSTOMERS:
                found[f"{name} {member}".strip()] = mine.mean()
    return found


def study(name: str, database: Path) -> tuple[list[str], list[str]]:
    """Rows of both tables for one database."""
    wrong, ranges = [], []
    with duckdb.connect(str(database), read_only=True) as connection:
        connection.execute("use clv_intermediate")
        for horizon in HORIZONS:
            query = CUSTOMERS.format(h=horizon, alone=ALONE)
            frame = connection.execute(query).df()
            if frame.empty:
                continue
            windows = frame["cutoff_date"].nunique()
            head = f"| {name}, {horizon} days, {windows} windows"
            for method, row in errors(frame).iterrows():
                numbers = " | ".join(f"{value:.4g}" for value in row.iloc[:-1])
                wrong.append(f"{head} | {method} | {numbers} | {row.iloc[-1]:+.1%} |")
                head = "|"
            if frame["actual_value"].isna().all():
                continue
            totals = connection.execute(TOTALS.format(h=horizon)).df()["within"]
            found = coverage(frame) | {f"totals of {len(totals)}": totals.mean()}
            shares = ", ".join(f"{group} {share:.1%}" for group, share in found.items())
            ranges.append(f"| {name}, {horizon} days | {shares} |")
    return wrong, ranges


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("logs", nargs="+", type=Path, metavar="LOG", help="file, folder or database")
    days = "days between two cutoffs; default: 45"
    add("--every", type=int, default=45, metavar="DAYS", help=days)
    cutoffs = "cutoffs before the end of the log; default: 12"
    add("--windows", type=int, default=12, metavar="N", help=cutoffs)
    more = "further variables of the project, such as {clv_value: none}"
    add("--vars", type=yaml.safe_load, default={}, metavar="YAML", help=more)
    add("--keep", type=Path, metavar="DIR", help="folder to keep the databases in")
    options = parser.parse_args(arguments)
    wrong, ranges = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for log in map(Path.absolute, options.logs):
            name, database = log.stem, folder.absolute() / f"{log.stem}.duckdb"
            if log.suffix == ".duckdb":
                database = log
            else:
                build(log, database, options.every, options.windows, options.vars)
            for table, rows in zip((wrong, ranges), study(name, database), strict=True):
                table.extend(rows)
    print("| window | method | purchases: MAE | deviance | value: MAE | RMSE | total |")
    print("|---|---|---:|---:|---:|---:|---:|", *wrong, sep="\n")
    print("\n| window | within the 80 % range |\n|---|---|", *ranges, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
