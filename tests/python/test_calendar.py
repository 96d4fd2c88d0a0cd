"""Four mornings of the default calendar; play_calendar.py plays a month of it."""

import datetime

import pandas as pd
import pytest
from play_calendar import FIRST, Month, simulate

pytestmark = pytest.mark.slow


def test_nothing_rings_but_the_late_day(tmp_path):
    """It builds four times, which is the least in which every age has its cadence.

    A refit, from which daily runs go on; a good day after it, on which scores are first
    compared with those of the day before; a late one; and the one after, on which what
    rang is quiet again. What a run leaves is what the next one is judged by.
    """
    month = Month(tmp_path / "month", simulate(400, 5))
    runs = [
        month.play(FIRST + datetime.timedelta(days), kind, missing)
        for days, kind, missing in (
            (0, "monthly_refit", 0),
            (1, "daily_scoring", 0),
            (2, "daily_scoring", 1),
            (3, "daily_scoring", 0),
        )
    ]
    for run in runs:
        assert run["exit_code"] == 0, run["printed"][-3000:]
    assert [run["loud"] for run in runs] == [[], [], ["data_stale"], []]
    # one day late is a ticket: a page fails the build
    assert runs[2]["alerts"][0].startswith("ticket data_stale (transactions")
    assert len({tuple(run["serving"]) for run in runs}) == 1
    drift = month.read("from clv.feature_drift").set_index("feature")
    assert drift.loc["score", "compared_date"] == pd.Timestamp(runs[3]["as_of"])
    assert drift.loc["score", "reference_date"] == pd.Timestamp(runs[2]["as_of"])
    # features are those of the full run
    features = drift.drop(index="score")
    assert set(features["compared_date"]) == {pd.Timestamp(runs[0]["as_of"])}
