"""Build a small shop once for each value of a variable, with all data tests.

usage: vary_variables.py [--keep DIR] [SETTING ...]

A SETTING is JSON, such as '{"clv_duplicates": "rows"}'; without one, all of SETTINGS
are tried, one after the other, each in a warehouse that was only loaded, with every
optional input. What a shop may set must fail neither a model nor a data test: an alert
may ring, a number be withheld.

Prints a line per setting: the seconds, and what failed. Exits with 1 where something
did.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from test_builds import RICH, SEEDS, Build, rich_inputs

# The overlay takes long; alerts may ring.
BASE = {name: RICH[name] for name in RICH if "overlay" not in name} | {
    "clv_fail_on": "never"
}
SETTINGS = [
    *({"clv_duplicates": each} for each in ("rows", "none")),
    *({"clv_value": each} for each in ("revenue", "none")),
    {"clv_customer_grain": "account"},
    {"clv_fit_engine": "lifetimes"},
    {"clv_season": "none"},
    {"clv_period": "month"},
    {"clv_promotion": "always"},
    {"clv_planned_refit": True},
    {"clv_stop_campaigns": True},
    {"clv_offer_cap_by_uplift": False},
    *({"clv_export_value": each} for each in ("value", "none")),
    {"clv_export_key": "subscriber_key"},
    *({"clv_consent": each} for each in ("required", "managed_at_destination")),
    *(
        {"clv_purchase_model": each}
        for each in ("bgnbd", "mbgnbd", "paretonbd", "bgcnbd", "mbgcnbd")
    ),
    {"clv_purchase_model": {"default": "bgnbd", "web": "paretonbd"}},
    {"clv_challenger_models": ["paretonbd", "mbgcnbd"]},
    {"clv_horizons": [30, 60, 90, 180, 365]},
    *({"clv_backtest_days": each} for each in ([], [30, 400])),
    *({"clv_discount_rate": each} for each in (0, 1)),
    *({"clv_margin_rate": each} for each in (0, 0.2)),
    *({"clv_time_zone": each} for each in ("America/New_York", "Asia/Tokyo")),
    {"clv_gate_horizon_days": 180},
    {"clv_canary_share": 0},
    *({"clv_strata": each} for each in ([], ["country"])),
    {"clv_min_stratum_customers": 1},
    {"clv_loyal_purchases": 2},
    {"clv_inactivity_days": 100},
    {"clv_refund_days": 0},
    {"clv_control_arms": ["Control"]},
    {"clv_campaign_window_days": 30},
    {"clv_history_from": "2024-01-01"},
    *({"clv_holdout_share": each} for each in (0, 1)),
    {"clv_min_cell": 1},
    {"clv_suppressed_statuses": ["closed"]},
    {"clv_offer_caps": {"default": 10, "01_vip": 50}},
    {"clv_consent_channels": ["sms"]},
    {
        "clv_overlay": True,
        "clv_overlay_candidates": ["free", "two_stage"],
        "clv_overlay_min_customers": 300,
    },
    {"clv_identity_max_users": 2},
    {"clv_min_history_days": 300},
    {"clv_lookback_days": 0},
    {"clv_words": {"customer": "member"}},
]


class Shop:
    """A shop that is loaded once and built anew with every setting."""

    def __init__(self, folder):
        self.build = Build(folder, SEEDS).load(**rich_inputs())
        self.loaded = folder / "loaded.duckdb"
        shutil.copy(self.build.database, self.loaded)

    def faults(self, setting):
        """Return the lines that say what failed."""
        shutil.copy(self.loaded, self.build.database)
        printed = self.build.build(tests=True, may_fail=True, **{**BASE, **setting})
        if self.build.exit_code == 0:
            return []
        words = " ERROR ", " FAIL ", "Error: ", "clv: var"
        lines = [line for line in printed.splitlines() if any(w in line for w in words)]
        return lines or printed.splitlines()[-10:]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", type=json.loads, metavar="SETTING")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="leave the files there"
    )
    options = parser.parse_args()
    is_right = True
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        shop = Shop(folder)
        for setting in options.settings or SETTINGS:
            start = time.monotonic()
            faults = shop.faults(setting)
            is_right &= not faults
            print(f"{time.monotonic() - start:5.0f} s  {json.dumps(setting)}")
            print(*faults, sep="\n", end="\n" if faults else "", flush=True)
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
