"""scripts/summarize.py: lines of figures that may be missing."""

import sys
from pathlib import Path

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import summarize


@pytest.mark.parametrize(
    ("biases", "said"),
    [
        ((0.02, -0.05), "2 completed windows: total -5% to +2% off, 80 %"),
        ((0.02, None), "2 completed windows: total +2% to +2% off, 80 %"),
        ((None, None), "2 completed windows: no purchases in them, 80 %"),
        ((None,), "1 completed window: no purchases in it, 80 %"),
    ],
)
def test_windows_without_purchases_have_no_error_of_the_total(biases, said):
    with duckdb.connect() as connection:
        connection.execute(
            "create table model_backtest as select 90 as horizon_days, "
            "unnest(?::double[]) as bias, 0.8 as coverage_80, "
            "0.0 as mae_above_model, 'all' as group_type",
            [list(biases)],
        )
        (line,) = summarize.describe_checks(connection)
    assert line == f"  checked          90 days, {said} ranges covered 80%"
