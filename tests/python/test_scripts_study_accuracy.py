"""The figures of scripts/study_accuracy.py, on customers worked out by hand."""

import math
import sys

import pandas as pd
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import study_accuracy as study


@pytest.fixture
def frame():
    """Two windows of 100 customers; half of each bought twice for 10 in all."""
    bought = [0, 2] * 100
    return pd.DataFrame(
        {
            "cutoff_date": ["2024-01-01"] * 100 + ["2024-04-01"] * 100,
            "alive": [0.9] * 200,
            "purchases": 1.0,
            "model_purchases": 2.0,
            "alone_purchases": 1.0,
            "last_purchases": bought,
            "value": 5.0,
            "discounted": 4.0,
            "model_value": 10.0,
            "alone_value": 5.0,
            "last_value": [5.0 * purchases for purchases in bought],
            "p10": 0.0,
            "p90": [7.9, 8.0] * 100,
            "actual_purchases": bought,
            "actual_value": [5.0 * purchases for purchases in bought],
        }
    )


def test_errors_are_means_over_windows(frame):
    found = study.errors(frame)
    assert found.loc["published"].tolist() == pytest.approx(
        [1, 2 * math.log(2), 5, 5, 0]
    )
    assert found.loc["last period", "value: MAE"] == 0
    assert found.loc["purchase model", "total"] == 1


def test_coverage_is_of_all_and_of_classes_that_are_large_enough(frame):
    found = study.coverage(frame.assign(within=[True, False] * 100))
    assert found["all"] == 0.5
    assert found["P(alive) 70 % and more"] == 0.5
    assert "fifth 1" not in found  # of 40
    assert found["p10 > 0 no"] == 0.5
    # Where a window's PIT is not known, nobody is counted.
    some = frame.assign(within=[True, None] * 100)
    assert study.coverage(some)["all"] == 1
