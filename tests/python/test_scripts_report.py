"""The page: its sentences, its queries, and what a real browser makes of it."""

import datetime as dt
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import ClassVar

import duckdb
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import report
import report_findings as findings
import report_panels as panels
import small_cells
import yaml
from page_words import KEYS, PLAIN, TERMS, Words
from report_findings import Unit

DOLLARS, PURCHASES = Unit("USD"), Unit(None)
TABS = tuple(panels.TABS)


# -- Numbers as text


@pytest.mark.parametrize(
    ("unit", "value", "amount", "exact"),
    [
        (DOLLARS, 779039.92, "$779k", "$779,039.92"),
        (DOLLARS, 999.7, "$1k", "$999.70"),
        (DOLLARS, -1_250_000, "-$1.25M", "-$1,250,000.00"),
        (DOLLARS, 12.4, "$12.40", "$12.40"),
        (DOLLARS, 0, "$0", "$0.00"),
        (Unit("CHF"), 3e9, "CHF 3B", "CHF 3,000,000,000.00"),
        (PURCHASES, 21351.4, "21.4k purchases", "21,351.4"),
        (DOLLARS, None, "–", "–"),
    ],
)
def test_amounts_are_written_for_sentences_and_for_tables(unit, value, amount, exact):
    assert unit.amount(value) == amount
    assert unit.exact(value) == exact


@pytest.mark.parametrize(
    ("write", "value", "expected"),
    [
        (findings.percent, 0.659, "66%"),
        (findings.percent, 0.004, "0.4%"),
        (findings.percent, 0.9996, "100%"),
        (findings.percent, 0.9951, "99.5%"),
        (findings.percent, 0, "0%"),
        (findings.percent, None, "–"),
        (findings.date, "1998-06-30", "30 Jun 1998"),
        (findings.date, dt.date(1998, 6, 1), "1 Jun 1998"),
        (findings.month, "1998-06-01", "Jun 1998"),
        (findings.instant, "2026-11-22T07:35:39", "22 Nov 2026, 07:35 UTC"),
        (findings.decimal, 0.01234, "0.0123"),
        (findings.decimal, 1234.5, "1,234"),
        (findings.name, "gap_days", "gap days"),
        (findings.name, "paretonbd", "Pareto/NBD"),
    ],
)
def test_other_values_are_written_for_people(write, value, expected):
    assert write(value) == expected


# -- Words in place of customers and purchases

AIRLINE = Words(
    yaml.safe_load((ROOT / "scripts" / "demo_airline.yml").read_text())["clv_words"]
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Customers who have bought", "Members who have flown"),
        ("customers' purchase days", "members' trips"),
        ("Weekly purchases of a customer", "Weekly trips of a member"),
        ("with an order; several orders", "with a booking; several bookings"),
        ("a first-purchase offer", "a first-trip offer"),
        ("[[purchase day|purchase days]]", "[[trip|trips]]"),
        ("Customer equity of customers", "Customer equity of members"),
        ("the purchase model alone", "the purchase model alone"),
        ("customer_equity, clv.customers, /a/customer/b", None),
        ("Customary ordering of buyers", None),
    ],
)
def test_words_are_replaced_in_texts_and_not_in_names(text, said):
    assert AIRLINE(text) == (said or text)
    assert PLAIN(text) == text


def test_a_word_that_begins_with_a_vowel_has_its_article():
    words = Words({"customer": "account", "purchase": "visit"})
    assert words("A customer, a customer with a purchase") == (
        "An account, an account with a visit"
    )


def test_the_project_knows_the_words_that_are_replaced():
    checked = (ROOT / "macros" / "checks" / "check_config.sql").read_text()
    (listed,) = re.findall(r"set replaced = \[(.*?)\]", checked, re.DOTALL)
    assert set(re.findall("'(.*?)'", listed)) == {"title", *KEYS}


# -- Sentences, computed from their rows


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (110, 100, "10% more"),
        (90, 100, "10% less"),
        (100.01, 100, "as much"),
        (5, 0, None),
        (5, None, None),
    ],
)
def test_a_change_is_said_in_words(now, before, said):
    assert findings.change(now, before) == said


def seen(**values):
    return {"cutoff_date": "2024-06-30", "horizon_days": 365, **values}


def whole(customers, expected, actual):
    """What all customers together were worth in the last completed window."""
    return {
        "whole_customers": customers,
        "whole_cutoff": "2023-06-30",
        "whole_expected": expected,
        "whole_actual": actual,
    }


@pytest.mark.parametrize(
    ("finding", "rows", "said"),
    [
        (
            findings.equity,
            [seen(cutoff_date="2024-03-31", value=900.0), seen(value=810.0)],
            "Customers' expected value is $810 over the next 365 days, 10% less"
            " than on 31 Mar 2024",
        ),
        (
            findings.equity,
            [seen(value=810.0)],
            "Customers' expected value is $810 over the next 365 days",
        ),
        (
            findings.cohorts,
            [
                seen(horizon_days=90, customers=20, **whole(1, 9, 9)),
                seen(customers=20, **whole(500, 40, 50)),
            ],
            "All customers over 365 days from 30 Jun 2023: $40 each expected, 20% less"
            " than the actual $50",
        ),
        (
            findings.cohorts,
            [seen(customers=20, **whole(500, 50, 50))],
            "All customers over 365 days from 30 Jun 2023: $50 each expected, the same"
            " as the actual $50",
        ),
        (
            findings.cohorts,
            [seen(customers=20, cohort_month="2024-03-01", ahead=7, **whole(9, 50, 5))],
            "The cohort of Mar 2024 has an expected value of $7 per customer over 365"
            " days; no window has ended yet",
        ),
        (
            findings.value_curve,
            [
                {
                    "percentile": 90,
                    "share_of_customers": 0.1,
                    "share_of_expected_value": 0.31,
                }
            ],
            "The top 10% of customers hold 31% of expected value",
        ),
        (
            findings.spend,
            [
                {"acquisition_spend": 200.0, "predicted_value": 100.0},
                {"acquisition_spend": 0.0, "predicted_value": 50.0},
            ],
            "$200 of acquisition spend is expected to return only $100, 0.5 for each 1"
            " spent",
        ),
        (
            findings.acquisition,
            [
                {"channel": "paid_search", "clv_to_cac": 3.21},
                {"channel": "tv", "clv_to_cac": 0.5},
                {"channel": "email", "clv_to_cac": None},
            ],
            "Paid search returns 3.2 times its cost, tv 0.5 times; 1 of 2 lose money",
        ),
        (
            findings.tracking,
            [
                {
                    "is_in_sample": True,
                    "expected_incremental": 50.0,
                    "actual_incremental": 90,
                },
                {
                    "is_in_sample": False,
                    "expected_incremental": 100.0,
                    "actual_incremental": 95,
                },
            ],
            "Repeat purchases expected for 1 week after the fit were 5% more than the"
            " actual",
        ),
        (
            findings.tracking,
            [
                {
                    "is_in_sample": True,
                    "expected_incremental": 100.0,
                    "actual_incremental": 105,
                }
            ],
            "Repeat purchases expected within the fit were 5% less than the actual",
        ),
        (
            findings.revenue,
            [
                {
                    "period_month": month,
                    "days": days,
                    "new_value": new,
                    "total_value": 100.0 + new,
                    "low": 80.0,
                    "high": 160.0,
                }
                for month, days, new in [
                    ("2024-06-01", 3, 0.0),
                    ("2024-07-01", 31, 20.0),
                ]
            ],
            "Expected in Jul 2024: $120, 80% range $80 to $160; in 2 months $220, 9% of"
            " it from customers yet to come",
        ),
        (
            findings.returning,
            [
                {
                    "period_month": month,
                    "is_truncated": month == "2024-03-01",
                    "kind": kind,
                    "amount": amount,
                }
                for month, new, old in [
                    ("2023-02-01", 60.0, 40.0),
                    ("2024-02-01", 25.0, 75.0),
                    ("2024-03-01", 1.0, None),
                ]
                for kind, amount in [("new", new), ("returning", old)]
            ],
            "Returning customers made up 75% of revenue in Feb 2024, 40% a year before",
        ),
        (
            findings.growth,
            [
                {
                    "period_month": month,
                    "is_truncated": False,
                    "kind": kind,
                    "active_customers": 500,
                    "customers": customers,
                }
                for month in ("2024-01-01", "2024-02-01")
                for kind, customers in [("new", 20), ("lapsed", 30)]
            ],
            "500 customers were active at the end of Feb 2024; in 2 months 40 were new,"
            " 60 lapsed",
        ),
        (
            findings.retention,
            [
                {
                    "cohort_month": "2024-01-01",
                    "months_since": after,
                    "customers": 100,
                    "retention_rate": share,
                    "cumulative": value,
                }
                for after, share, value in [(1, 0.2, 30.0), (2, 0.1, 40.0)]
            ],
            "Of 1 cohort with 2 months, 20% bought in month 1, 10% bought in month 2,"
            " $40 per customer by then",
        ),
        (
            findings.frequency,
            [
                {"customers": 60, "expected_customers": 50.0},
                {"customers": 40, "expected_customers": 50.0},
            ],
            "The fit misplaces 10% of customers by number of repeat purchases",
        ),
        (
            findings.runs,
            [{"status": "success"}, {"status": "error"}],
            "1 of 2 scoring runs succeeded; the last one ended with error",
        ),
        (
            findings.drift,
            [
                {"feature": feature, "band": band, "reference_name": "a year ago"}
                for feature, band in [("gap_days", "alert"), ("channel", "watch")]
            ],
            "Gap days drifted strongly, compared with a year ago",
        ),
        (
            findings.alerts,
            [
                {"muted_because": None, "severity": "page"},
                {"muted_because": None, "severity": "ticket"},
                {"muted_because": "explained by scores", "severity": "page"},
            ],
            "2 alerts open, 1 page",
        ),
        (
            findings.overlay,
            [
                {"cohort_group": "everyone", "is_overlay": True},
                {"cohort_group": "new", "is_overlay": True},
                {"cohort_group": "old", "is_overlay": False},
            ],
            "The overlay is used in 1 of 2 groups of customers",
        ),
    ],
)
def test_a_title_is_computed_from_its_rows(finding, rows, said):
    assert finding(rows, DOLLARS) == said


def test_a_backtest_that_the_model_loses_is_said_so():
    rows = [
        {"horizon_days": 90, "method": "bgnbd", "is_current_spec": True, "mae": 12.0},
        {"horizon_days": 90, "method": "mean", "is_current_spec": False, "mae": 10.0},
    ]
    said = findings.backtest(rows, DOLLARS)
    assert said.startswith("Over 90 days the model's error is 20% larger than")


def test_channels_are_summed_over_a_year_and_judged_by_their_newest_month():
    months = [f"2023-{month:02d}-01" for month in range(1, 13)] + ["2024-01-01"]
    rows = [
        {
            "channel": "web",
            "cohort_month": month,
            "acquisition_spend": 100.0,
            "new_customers": 10,
            "predicted_clv": 30.0,
            "status": "unknown" if month > "2024" else "amber",
            "payback_days": 90,
            "cac_cap": 15.0,
        }
        for month in months
    ]
    (web,) = panels.by_channel(rows, DOLLARS)
    assert (web["acquisition_spend"], web["new_customers"]) == (1200, 120)
    assert (web["customer_acquisition_cost"], web["clv_to_cac"]) == (10, 3)
    assert web["status"] == "amber"


def test_a_version_served_until_it_stopped_and_the_champion_still_does():
    """The champion a, replaced in March, serves again since April: b was withdrawn."""
    rows = [
        {"model_version": name, "status": status, "champion_since": since,
         "decided_on": decided, "checked_date": "2024-06-30"}
        for name, status, since, decided in [
            ("b", "withdrawn", "2024-03-01", "2024-04-01"),
            ("c", "rejected", None, "2024-05-01"),
            ("a", "champion", "2024-04-01", "2024-04-01"),
            ("d", "retired", "2024-01-01", "2024-02-01"),
        ]
    ]  # fmt: skip
    assert [
        (row["model_version"], row["start"], row["end"])
        for row in panels.served(rows, DOLLARS)
    ] == [
        ("d", "2024-01-01", "2024-02-01"),
        ("b", "2024-03-01", "2024-04-01"),
        ("a", "2024-04-01", "2024-06-30"),
        ("c", "2024-05-01", "2024-05-01"),
    ]


def test_the_champion_is_read_however_many_are_later():
    with duckdb.connect() as connection:
        connection.execute(
            "create table registry as select 'v' || n as model_version, "
            "if(n = 100, 'champion', 'rejected') as status, 'r' as reason, "
            "date '2024-01-01' + to_days(n::int) as decided_on, "
            "null::date as champion_since, 'bgnbd' as purchase_model, 1 as customers "
            "from range(100, 140) as numbers(n)"
        )
        connection.execute(
            "create table freshness as select date '2024-12-31' as checked_date"
        )
        found = connection.execute(
            panels.READS["versions"].format(
                model_registry="registry", data_freshness="freshness"
            )
        ).fetchall()
    assert len(found) == 20
    assert found[0][:2] == ("v100", "champion")


def test_channels_are_read_by_months_however_many_there_are():
    with duckdb.connect() as connection:
        connection.execute(
            "create table economics as select 'c' || channel as channel, "
            "date '2023-01-01' + to_months(month::int) as cohort_month, "
            "1 as acquisition_spend, 1 as new_customers, 1 as predicted_clv, "
            "'green' as status, 1 as payback_days, 1 as cac_cap "
            "from range(30) as c(channel), range(20) as m(month)"
        )
        found = connection.execute(
            panels.READS["channels"].format(channel_economics="economics")
        ).fetchall()
    assert len(found) == 12 * 30


# -- The queries, on the demo


def built_demo():
    """The demo's warehouse and page: those of scripts/test.sh, else of the project."""
    database = Path(os.environ.get("CLV_TEST_DEMO") or ROOT / "warehouse.duckdb")
    page = database.parent / "report.html"
    if database.exists() and page.exists():
        return database, page
    assert os.environ.get("CI") != "true", "scripts/build.sh did not make the page"
    return pytest.skip("no built demo: run scripts/build.sh first")


@pytest.fixture(scope="module")
def demo():
    database, _ = built_demo()
    with duckdb.connect(str(database), read_only=True) as connection:
        # the file and the schema have the same name
        (catalog,) = connection.execute("select current_catalog()").fetchone()
        connection.execute(f"use {catalog}.clv")
        yield connection


@pytest.fixture(scope="module")
def read(demo):
    """Rows of a query of the page, without dbt; an absent mart is no rows."""
    tables = "select table_name from information_schema.tables"
    schema = "table_schema = current_schema()"
    built = {name: name for (name,) in demo.sql(f"{tables} where {schema}").fetchall()}

    def rows(query, columns=panels.PRICED):
        if set(panels.marts_of(query)) - set(built):
            return None
        found = demo.execute(query.format(**built, **columns))
        names = [each[0] for each in found.description]
        return [
            dict(zip(names, map(report.plain, row), strict=True))
            for row in found.fetchall()
        ]

    return rows


@pytest.mark.parametrize("name", panels.READS)
def test_a_query_gives_what_its_panels_want_in_money_and_in_purchases(read, name):
    for columns, unit in ((panels.PRICED, DOLLARS), (panels.UNPRICED, PURCHASES)):
        rows = read(panels.READS[name], columns)
        if rows is None:
            pytest.skip(f"no mart for {name} yet")
        for panel in panels.PANELS:
            if panel.read == name and (ready := panel.prepare(rows, unit)):
                assert panel.finding(ready, unit)
                for row in ready:
                    assert all(each.written(row, unit) for each in panel.columns)


def test_no_query_reads_a_mart_with_a_row_per_customer():
    per_customer = {"customer_lifetime_value", "customer_rfm", "customer_segments",
                    "customers", "transactions"}  # fmt: skip
    wanted = {m for query in panels.READS.values() for m in panels.marts_of(query)}
    assert wanted.isdisjoint(per_customer)
    # and every relation is named as a mart, so that none can hide
    for query in panels.READS.values():
        for relation in re.findall(r"\b(?:from|join)\s+(\S+)", query):
            assert relation.startswith(("{", "("))


def test_the_value_curve_is_that_of_sorted_customers(demo):
    wrong = demo.execute(
        """
        with ranked as (
            select clv_365d as value, count(*) over () as customers,
                row_number() over (order by clv_365d desc) as place
            from customer_lifetime_value where frequency is not null
        )
        select curve.percentile, curve.share_of_expected_value, (
            select sum(value) from ranked
            where place <= customers * curve.share_of_customers
        ) / (select sum(value) from ranked) as sorted_share
        from customer_value_curve as curve
        where abs(curve.share_of_expected_value - sorted_share) > 0.001
        """
    ).fetchall()
    assert wrong == []


# -- Pages of made-up rows: everything, one row each, none, and marts that are not built


def made_up(unit=DOLLARS):
    """Rows of every query, those of marts that this warehouse lacks included."""
    day = dt.date(2024, 6, 30)
    cutoffs = [str(day - dt.timedelta(91 * k)) for k in (3, 2, 1, 0)]
    months = [f"{2022 + k // 12}-{k % 12 + 1:02d}-01" for k in range(24)]
    priced = unit.is_priced
    found = {
        "readiness": [
            {"horizon_days": horizon, "is_forecast": True, "warning": None,
             "as_of_date": str(day), "log_days": 400,
             "status": "ready" if horizon < 365 else "unchecked",
             "reason": None if horizon < 365 else
             "400 days of log: 365-day values have not been checked"}
            for horizon in (30, 90, 180, 365)
        ],
        "money": [{"money": "revenue" if priced else "value"}],
        "currency": [{"currency": unit.currency}],
        "equity": [
            seen(cutoff_date=each, is_production=each == cutoffs[-1], customers=5000,
                 value=9e5 + 4e4 * k, low=8e5 if priced else None,
                 high=1.1e6 if priced else None, actual=9e5 if k == 0 else None,
                 interval_source="calibrated")
            for k, each in enumerate(cutoffs)
        ],
        "cohorts": [
            {"cohort_month": month, "horizon_days": horizon, "customers": 200,
             "ahead": horizon * (1 + k % 5) / 20, "cutoff_date": cutoffs[0],
             "expected": horizon * (2 + k % 5) / 20 if k < 20 else None,
             "actual": horizon * (2 + k % 7) / 20 if k < 20 else None,
             "past_customers": 190 if k < 20 else None,
             **whole(5000, horizon / 6, horizon / 5)}
            for k, month in reversed(list(enumerate(months)))
            for horizon in (30, 90, 180, 365)
        ],
        "forecast": [
            {"week": week, "week_start_date": str(day + dt.timedelta(7 * week - 6)),
             "week_end_date": str(day + dt.timedelta(7 * week)),
             "expected": 9e3 - 40 * week if week > 0 else None,
             "low": 7e3 if week > 0 else None, "high": 1.2e4 if week > 0 else None,
             "modelled": 9e3 - 50 * week if week > 0 else None,
             "actual": 9e3 + 300 * (week % 5) if week <= 0 else None}
            for week in range(-51, 53) if priced
        ],
        "months": [
            {"period_month": month, "is_truncated": int(month == months[-1]),
             "customers": 900, "new_customers": 180 + 9 * (k % 6),
             "value": 5e4 + 2e3 * (k % 8)}
            for k, month in reversed(list(enumerate(months)))
        ],
        "revenue": [
            {"period_month": f"2024-{number:02d}-01", "days": 30,
             "existing_value": 7e4, "new_value": 500.0 * number,
             "total_value": 7e4 + 500 * number, "low": 6e4, "high": 9e4,
             "method": "damped_trend"}
            for number in range(7, 13) if priced
        ],
        "returning": [
            {"period_month": month, "is_truncated": month == months[-1], "kind": kind,
             "customers": customers, "amount": 40.0 * customers}
            for month in reversed(months)
            for kind, customers in (("new", 180), ("returning", 700))
        ],
        "growth": [
            {"period_month": month, "is_truncated": month == months[-1], "kind": kind,
             "active_customers": 2500, "customers": customers}
            for month in reversed(months)
            for kind, customers in (("lapsed", 150), ("new", 180), ("returned", 40))
        ],
        "retention": [
            {"cohort_month": month, "months_since": after, "customers": 200,
             "active_customers": 60 - 3 * after, "retention_rate": 0.3 - 0.015 * after,
             "cumulative": 40.0 + 5 * after if priced else None}
            for k, month in reversed(list(enumerate(months[-13:])))
            for after in range(1, 13 - k)
        ],
        "channels": [
            {"channel": channel, "cohort_month": month, "acquisition_spend": spend,
             "new_customers": 40, "predicted_clv": value, "status": status,
             "payback_days": None if status == "red" else 120, "cac_cap": value / 3}
            for month in months[-3:]
            for channel, spend, value, status in [
                ("paid_search", 900.0, 95.0, "green"),
                ("social_media_advertising", 2500.0, 110.0, "amber"),
                ("television", 4000.0, 60.0, "red"),
                ("email", 0.0, 70.0, "unknown"),
            ]
        ],
        "segments": [
            {"as_of_date": str(day), "scheme": scheme, "segment": label,
             "label": label, "customers": 100,
             "share_of_customers": share, "share_of_expected_value": 1 - share,
             "next_best_action": "Thank them <b>personally</b> & often"}
            for scheme in ("clv", "rfm")
            for label, share in [("Loyal VIP", 0.05),
                                 ("Valuable repeater at risk", 0.3),
                                 ("Hibernating one-time customer", 0.65)]
        ],
        "curve": [
            {"percentile": k, "expected_value": 3.0 * 1.06**k,
             "share_of_customers": 1 - k / 100, "customers": 5000 - 50 * k,
             "share_of_expected_value": 1 - (k / 100) ** 3}
            for k in range(100)
        ],
        "freshness": [
            {"subject": subject, "newest_date": str(day), "checked_date": str(day),
             "age_days": age, "limit_days": 2.0, "share_of_limit": age / 2,
             "status": status}
            for subject, age, status in [("scores", 5, "fail"), ("features", 2, "warn"),
                                         ("transactions", 0, "ok")]
        ],
        "runs": [
            {"as_of_date": str(day), "started_at": f"{day}T04:15:00", "status": status,
             "model_version": "2024-06-30-1a2b3c4d", "rows_attempted": 5000,
             "rows_scored": 5000 - k, "failed_nodes": k, "duration_seconds": 95.0 + k}
            for k, status in enumerate(["error", "success", "success"])
        ],
        "score_coverage": [
            {"acquisition_source": "all", "is_total": True, "customers": 5000,
             "scored_customers": 4990, "coverage_rate": 0.998}
        ],
        "drift": [
            {"feature": feature, "reference": reference, "is_clock": clock, "psi": psi,
             "psi_by_chance": 0.01, "is_psi_beyond_chance": psi > 0.01,
             "current_customers": 900, "compared_date": str(day)}
            for feature, clock, psi in [("gap_days", False, 0.4),
                                        ("channel", False, 0.2),
                                        ("order_value", False, 0.0),
                                        ("days_since_last_purchase", True, 2.0)]
            for reference in ("training", "last_year", "last_scored")
        ],
        "alerts": [
            {"rule": "score_coverage_low", "severity": severity, "subject": "web",
             "subjects": 1, "measured": 0.94, "breached_limit": 0.95,
             "muted_because": quiet, "owner": "analytics_engineering",
             "runbook": "models/runbooks.md#model-rollback", "as_of_date": str(day)}
            for severity, quiet in [("page", None), ("ticket", "explained by scores")]
        ],
        "versions": [
            {"model_version": f"{since or decided}-1a2b3c4d", "status": status,
             "reason": "better by 2 %", "decided_on": decided, "champion_since": since,
             "purchase_model": "bgnbd", "customers": 5000, "checked_date": str(day)}
            for since, decided, status in [
                ("2024-05-31", "2024-06-30", "champion"),
                (None, "2024-04-30", "rejected"),
                ("2023-12-31", "2024-05-31", "retired"),
            ]
        ],
        "calibration": [
            {"cutoff_date": cutoffs[0], "horizon_days": horizon, "decile": decile,
             "customers": 500, "mean_probability": decile / 12,
             "observed_rate": decile / 13, "calibration_error": decile / 150}
            for horizon in (30, 90, 180)
            for decile in range(1, 11)
        ],
        "backtest": [
            {"cutoff_date": cutoffs[0], "horizon_days": horizon, "method": method,
             "group_type": "all" if group == "all" else "frequency_class",
             "group_value": group, "customers": 5000,
             "is_current_spec": method == "bgnbd",
             "mae": error if priced else None, "rmse": 2 * error, "bias": 0.1,
             "spearman": 0.4,
             **dict.fromkeys(["coverage_50", "coverage_80", "coverage_90"],
                             0.7 if method == "bgnbd" and priced else None)}
            for horizon in (30, 90)
            for method, error in [("bgnbd", 20.0), ("mean", 30.0),
                                  ("rfm_cell_mean", 25.0), ("last_horizon", 28.0)]
            for group in ("all", "0", "1-2", "3-9", "10-29", "30+")
        ],
        "tracking": [
            {"cutoff_date": "2024-04-14", "week": week,
             "week_end_date": str(dt.date(2024, 1, 7) + dt.timedelta(7 * week)),
             "is_in_sample": week < 15, "expected_cumulative": 30.0 * week,
             "actual_cumulative": 28 * week, "cumulative_error": 0.07,
             "expected_incremental": 30.0, "actual_incremental": 28}
            for week in range(1, 25)
        ],
        "frequency": [
            {"cutoff_date": cutoffs[-1], "frequency": k, "is_or_more": k == 7,
             "customers": 2000 // (k + 1), "expected_customers": 1900 / (k + 1)}
            for k in range(8)
        ],
        "activity": [
            {"frequency_from": x, "frequency_to": x if x < 15 else None,
             "days_since_last_purchase_from": first,
             "days_since_last_purchase_to": last, "customers": 100,
             "mean_probability_alive": 0.9,
             "mean_probability_purchase_90d": (x + 1) / 16 / (1 + k)}
            for x in (0, 1, 2, 7, 15)
            for k, (first, last) in enumerate([(0, 30), (31, 60), (61, 90), (91, 180),
                                               (181, 365), (366, 730), (731, None)])
        ],
        "overlay": [
            {"cohort_group": group, "horizon_days": horizon, "cutoffs": 4,
             "baseline_rmse": 30.0, "overlay_rmse": error, "baseline_bias": 0.1,
             "overlay_bias": 0.05, "is_overlay": (error or 99) < 30,
             "reason": "4 of 4 windows"}
            for horizon in (90, 365)
            for group, error in [("discount_high", 27.0), ("everyone", 31.0),
                                 ("no_window_yet", None)]
        ],
    }  # fmt: skip
    assert set(found) == set(panels.READS)
    return found


WITHHELD = [
    {"horizon_days": horizon, "is_forecast": False, "status": "log_too_short",
     "as_of_date": "2024-06-30", "log_days": 30,
     "reason": "30 days of log: a forecast needs 84", "warning": None}
    for horizon in (30, 365)
]  # fmt: skip


def of_few(unit=DOLLARS):
    """The same where some rows are of few customers, the newest of equity too."""
    found = made_up(unit)
    for row in found["channels"]:
        if row["channel"] == "email":
            row["new_customers"] = 2  # in each of three months
    for read in {panel.read for panel in panels.PANELS if panel.people == "customers"}:
        for row in found[read][2::3] + found[read][-1:]:
            row["customers"] = 7
    for row in found["retention"][2::3]:
        row["active_customers"] = 7
    return found


HOSTILE = ("<!--<script>", "</script>", "a\u2028b", "a\u2029b", "a\x85b", "'\"]]>")


def named_badly():
    """The same with names that would end a script, a line or a text."""
    found = made_up()
    for rows in found.values():
        for k, row in enumerate(rows):
            for key in {"channel", "label", "subject", "cohort_group"} & set(row):
                row[key] = f"{HOSTILE[k % len(HOSTILE)]}{row[key]}"
    return found


@pytest.fixture(scope="module")
def vega():
    return report.bundle()


@pytest.fixture(scope="module")
def pages(vega, tmp_path_factory):
    """Files by name: full, unpriced, no_spend, withheld, one_row, empty, not_built."""
    folder = tmp_path_factory.mktemp("pages")
    full = made_up()
    variants = {
        "full": (full, DOLLARS),
        "unpriced": (made_up(PURCHASES), PURCHASES),
        "no_spend": (
            full
            | {
                "channels": [
                    row | {"acquisition_spend": None} for row in full["channels"]
                ]
            },
            DOLLARS,
        ),
        "withheld": (full | {"readiness": WITHHELD, "versions": []}, DOLLARS),
        "one_row": ({name: rows[:1] for name, rows in full.items()}, DOLLARS),
        "empty": ({name: [] for name in full}, DOLLARS),
        "not_built": (dict.fromkeys(full), DOLLARS),
        "named_badly": (named_badly(), DOLLARS),
        "of_few": (of_few(), DOLLARS),
    }
    for name, (found, unit) in variants.items():
        (folder / f"{name}.html").write_text(report.page(found, unit, vega))
    return {name: folder / f"{name}.html" for name in variants}


def test_the_page_is_small_and_says_nothing_about_single_customers(pages):
    for name, page in pages.items():
        assert page.stat().st_size < 2e6, name
    assert built_demo()[1].stat().st_size < 2e6


def test_what_has_not_been_checked_is_said_at_the_top(pages):
    top = pages["full"].read_text().split('role="tablist"')[0]
    assert "400 days of log: 365-day values have not been checked." in top
    assert "revenue in USD" in top
    assert "data since 27 May 2023 · forecasts checked over 30, 90, 180 days" in top
    unready = pages["withheld"].read_text().split('role="tablist"')[0]
    assert "data since 31 May 2024" in unready
    assert "checked" not in unready


def test_a_page_in_other_words_has_no_customer_and_no_purchase(vega):
    """But for terms, names of marts, and codes of rules, which people look up."""
    for unit in (Unit("EUR", words=AIRLINE), Unit(None, words=AIRLINE)):
        found = made_up(unit) | {"alerts": []}
        for rows in (found["drift"], found["segments"]):
            rows[0] |= {"feature": "purchase_days", "label": "New Customers"}
        text = report.page(found, unit, vega)
        assert "<h1>Simulated frequent-flyer programme</h1>" in text
        (specs,) = re.findall(r'id="specs">(.*?)</script>', text, re.DOTALL)
        text = re.sub(r"<(script|style).*?</\1>", " ", text, flags=re.DOTALL)
        shown = " ".join(re.findall(r">([^<>]+)<", text))
        shown += " ".join(re.findall(r'"(?:title|description)": "(.*?)"', specs))
        shown = re.sub(rf"\b({'|'.join(TERMS)})s?\b", "", shown, flags=re.IGNORECASE)
        words = "customers?|purchases?|orders?|buys?|bought|buyers?"
        assert re.findall(rf".{{30}}\b(?:{words})\b.{{9}}", shown, re.IGNORECASE) == []
        assert "Members" in shown
        assert "trips" in shown


def test_a_forecast_that_is_withheld_is_nowhere_on_the_page(pages):
    text = pages["withheld"].read_text()
    said = "There is no forecast: 30 days of log: a forecast needs 84"
    assert f"{said}." in text.split('role="tablist"')[0]
    headings = re.findall(r"<figcaption>\s*<h3>(.*?)</h3>", text)
    silent = [panel for panel in panels.PANELS if panel.read in panels.FORECASTS]
    assert headings.count(said) == len(silent) > 9
    assert not [p.key for p in silent if f'"{p.key}-0"' in text]  # a chart
    assert 'data-card="equity"' not in text


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], []),
        (WITHHELD, ["There is no forecast: 30 days of log: a forecast needs 84."]),
        (
            [
                {"is_forecast": True, "reason": reason, "warning": "looks contractual"}
                for reason in (None, "9 days")
            ],
            ["9 days.", "This log looks contractual."],
        ),
    ],
)
def test_readiness_is_said_in_a_sentence_each(rows, said):
    assert findings.notices(rows) == said


def test_segments_without_a_forecast_are_told_by_their_customers():
    rows = [
        {"label": label, "customers": customers, "share_of_customers": customers / 10,
         "share_of_expected_value": None}
        for label, customers in [("A", 3), ("B", 7)]
    ]  # fmt: skip
    assert findings.segments(rows, DOLLARS) == "B: 70% of customers"


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([12, 10, 30], ["", "", ""]),
        ([12, 9, 30], ["–", "<10", ""]),  # 9 would be the total without the others
        ([12, 2, 3, 30], ["–", "<10", "<10", ""]),  # so would 5
        ([12, 6, 6, 30], ["", "<10", "<10", ""]),
        ([12, 0, None, 30], ["", "", "", ""]),
        ([4], ["<10"]),
    ],
)
def test_a_cell_of_few_is_hidden_and_what_would_tell_it(counts, told):
    rows = [{"n": count} for count in counts]
    assert small_cells.marks(rows, "n", 10, "") == told
    alone = ["<10" if n and n < 10 else "" for n in counts]
    assert small_cells.marks(rows, "n", 10) == alone


def test_rows_are_parts_of_the_total_of_their_group():
    rows = [{"n": n, "days": days} for days in (30, 90) for n in (3, 20)]
    rows[2]["n"] = 30
    assert small_cells.marks(rows, "n", 10, "days") == ["<10", "–", "", ""]


@pytest.mark.parametrize("source", ["demo", "of_few"])
def test_no_table_or_chart_shows_what_few_customers_do(source, request):
    if source == "of_few":
        found = of_few()
    else:
        read = request.getfixturevalue("read")
        found = {name: read(query) for name, query in panels.READS.items()}
    hidden = []
    for panel in panels.PANELS:
        if not panel.people:
            continue
        each = report.figure(panel, found, DOLLARS)
        at = [column.field for column in panel.columns].index(panel.people)
        charts = json.dumps([chart.spec for chart in each.charts])
        for cells in each.table:
            if cells[at] in ("<10", "–"):
                assert set(cells[at + 1 :]) <= {""}
                hidden.append(panel.key)
            else:
                assert not 0 < int(cells[at].replace(",", "")) < 10
        counts = re.findall(rf'"{panel.people}": ([\d.]+)', charts)
        assert not [n for n in counts if 0 < float(n) < 10], panel.key
    if source == "of_few":
        assert {*hidden} == {panel.key for panel in panels.PANELS if panel.people}
        cards = report.key_figures(found, DOLLARS)
        assert not {"equity", "per_customer"} & {card.key for card in cards}
        assert {"rfm", "segments"} <= {*hidden}
    else:
        # no segment of the demo is that small
        assert {"activity", "cohorts", "rfm"} <= {*hidden}


@pytest.mark.parametrize(
    ("then", "now", "is_shown"),
    [(200, 200, True), (9, 12, False), (40, 200, False), (None, 200, False)],
)
def test_a_cohort_of_which_few_had_bought_has_no_past_window(then, now, is_shown):
    row = {"past_customers": then, "customers": now, "cutoff_date": "2024-03-02",
           "expected": 5.0, "actual": 7.0}  # fmt: skip
    (shown,) = panels.compared([row], DOLLARS)
    assert [shown[each] is not None for each in ("expected", "actual")] == [
        is_shown
    ] * 2


def test_a_value_cannot_become_markup(pages):
    text = pages["full"].read_text()
    assert "<b>personally</b>" not in text
    assert "&lt;b&gt;personally&lt;/b&gt; &amp; often" in text


def test_every_word_in_brackets_is_explained():
    text = " ".join(panel.about for panel in panels.PANELS)
    cards = [
        *report.key_figures(made_up(), DOLLARS),
        *report.state_of_play(made_up(), DOLLARS),
    ]
    text += " ".join(f"{card.title} {card.note}" for card in cards)
    for word in re.findall(r"\[\[(.+?)\]\]", text):
        told = report.explain(f"[[{word}]]", PLAIN)
        assert told.startswith('<button type="button"')
    used = {word.split("|")[0].lower() for word in re.findall(r"\[\[(.+?)\]\]", text)}
    assert used <= {term.lower() for term in panels.GLOSSARY}


def test_without_marts_no_page_is_made_and_a_sentence_says_so(
    monkeypatch, tmp_path, capsys
):
    class Bare:
        relations: ClassVar[dict] = {}

    monkeypatch.setattr(report, "Warehouse", lambda target, variables: Bare())
    assert report.main(["--output", str(tmp_path / "page.html")]) == 2
    assert "No page: There are no marts yet" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


# -- In a browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Text on a chart, and what is behind it: the cell of a heat map, else the card.
CONTRASTS = """() => {
  const rgb = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (colour) => rgb(colour)
    .map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const low = [];
  for (const text of document.querySelectorAll("section:not(.away) .vis svg text")) {
    const box = text.getBoundingClientRect();
    const style = getComputedStyle(text);
    if (!text.textContent || !box.width || style.opacity === "0") continue;
    const figure = text.closest("figure");
    let behind = getComputedStyle(figure).backgroundColor;
    for (const each of text.closest("svg").querySelectorAll(".mark-rect path")) {
      const cell = each.getBoundingClientRect(), fill = getComputedStyle(each).fill;
      const x = box.x + box.width / 2, y = box.y + box.height / 2;
      const inside = cell.left <= x && x <= cell.right
        && cell.top <= y && y <= cell.bottom;
      if (inside && text.closest(".mark-text.role-mark")) behind = fill;
    }
    const [a, b] = [light(style.fill), light(behind)].sort((p, q) => q - p);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push([figure.id, text.textContent, style.fill, behind, ratio]);
  }
  return low;
}"""
# Labels of one chart that lie over each other, or outside of it.
CLASHES = """() => {
  const found = [];
  for (const svg of document.querySelectorAll("section:not(.away) .vis svg")) {
    const frame = svg.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll("text")]
      .filter((text) => text.textContent && getComputedStyle(text).opacity !== "0")
      .map((text) => [text.textContent, text.getBoundingClientRect()])
      .filter(([, box]) => box.width);
    boxes.forEach(([text, box], k) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1
          || box.top < frame.top - 2 || box.bottom > frame.bottom + 2)
        found.push([svg.closest("figure").id, "clipped", text]);
      for (const [other, its] of boxes.slice(k + 1)) {
        if (box.left < its.right - 1 && its.left < box.right - 1
            && box.top < its.bottom - 3 && its.top < box.bottom - 3)
          found.push([svg.closest("figure").id, text, other]);
      }
    });
  }
  return found;
}"""


def find_browser(playwright):
    """CLV_CHROMIUM, the system's, or the one that Playwright installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    own = playwright.chromium.executable_path
    for each in (os.environ.get("CLV_CHROMIUM"), *map(shutil.which, names), own):
        if each and Path(each).exists():
            return each
    return None


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        path = find_browser(playwright)
        if path is None:
            sentence = (
                "NO BROWSER, so the page is not looked at: install chromium, or name"
                " one in CLV_CHROMIUM"
            )
            assert os.environ.get("CI") != "true", sentence
            pytest.skip(sentence)
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, request):
    """Open a file; what it says on the console or asks of the network is a failure."""
    contexts, problems, outside = [], [], []

    def opened(page, tab="executive", scheme="light", width=1400, height=1000):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            offline=True,
        )
        contexts.append(context)
        tabs = context.new_page()
        tabs.on("pageerror", lambda error: problems.append(str(error)))
        tabs.on("console", lambda said: problems.append(said.text))
        tabs.on(
            "request",
            lambda asked: (
                outside.append(asked.url)
                if not asked.url.startswith(("file:", "data:", "blob:"))
                else None
            ),
        )
        tabs.goto(f"{page.resolve().as_uri()}#{tab}")
        for each in TABS:
            tabs.wait_for_selector(f"#s-{each}[data-ready]", state="attached")
        return tabs

    yield opened
    for context in contexts:
        context.close()
    assert problems == []
    assert outside == []


def look(page, charts):
    """Every chart of the page has marks and no missing number."""
    drawn = page.evaluate(
        """() => [...document.querySelectorAll('.vis')].map((place) => {
            const box = place.querySelector('svg').getBoundingClientRect();
            const marks = '.role-mark path, .role-mark line, .role-mark text';
            return {id: place.id, width: box.width, height: box.height,
                    marks: [...place.querySelectorAll(marks)]
                        .filter((mark) => mark.getAttribute('d') !== '').length,
                    html: place.innerHTML,
                    label: place.querySelector('svg').getAttribute('aria-label')};
        })"""
    )
    assert [each["id"] for each in drawn] == [f"v-{chart}" for chart in charts]
    for each in drawn:
        assert each["marks"], each["id"]
        assert not re.search("NaN|undefined|Infinity", each["html"]), each["id"]
        assert each["width"] > 200, each["id"]
        assert each["height"] > 80, each["id"]
        assert len(each["label"]) > 20, each["id"]


def specs_in(page):
    found = re.search(
        r'<script type="application/json" id="specs">(.*?)</script>',
        page.read_text(),
        re.DOTALL,
    )
    return list(json.loads(found.group(1)))


def keep_picture(page, name):
    """For people to look at: fonts differ too much to compare pixels."""
    if folder := os.environ.get("CLV_ARTIFACTS"):
        page.screenshot(path=Path(folder) / f"report-{name}.png", full_page=True)


def wait_for_tab(page, tab):
    page.click(f"#t-{tab}")
    page.wait_for_selector(f"#s-{tab}:not(.away)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["demo", "full"])
def test_every_tab_draws_and_can_be_read_by_everybody(pages, visit, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    file = built_demo()[1] if name == "demo" else pages[name]
    page = visit(file, scheme=scheme)
    look(page, specs_in(file))
    for tab in TABS:
        wait_for_tab(page, tab)
        if name == "demo":
            keep_picture(page, f"{tab}-{scheme}")
        found = axe.run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        assert page.evaluate(CONTRASTS) == []
        assert page.evaluate(CLASHES) == []


@pytest.mark.parametrize("name", ["named_badly", "of_few"])
def test_no_name_and_no_hidden_row_costs_a_chart(pages, visit, name):
    page = visit(pages[name])
    charts = specs_in(pages[name])
    look(page, charts)
    assert charts == specs_in(pages["full"])
    if name == "named_badly":
        assert page.locator("#f-spend td", has_text="<!--<script>").count()


@pytest.mark.parametrize("name", ["demo", "full", "unpriced"])
def test_nothing_scrolls_sideways_or_clashes_on_a_phone(pages, visit, name):
    file = built_demo()[1] if name == "demo" else pages[name]
    page = visit(file, width=390, height=844)
    look(page, specs_in(file))
    for tab in TABS:
        wait_for_tab(page, tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate(CLASHES) == []


@pytest.mark.parametrize("name", ["one_row", "empty", "not_built"])
def test_too_little_data_is_a_sentence_and_no_error(pages, visit, name):
    page = visit(pages[name])
    look(page, specs_in(pages[name]))
    for panel in panels.PANELS:
        title = page.locator(f"#f-{panel.key} h3").text_content()
        charts = page.locator(f"#f-{panel.key} .vis").count()
        if name == "empty":
            assert (title, charts) == (panel.empty, 0)
        elif name == "not_built":
            assert title.startswith("Not built here: the mart ")
            assert charts == 0
        else:
            assert title != panel.empty or panel.read == "segments"
        assert title


def test_a_page_without_prices_counts_purchases(pages, visit):
    page = visit(pages["unpriced"])
    look(page, specs_in(pages["unpriced"]))
    text = page.locator("body").inner_text()
    assert "$" not in text
    assert "1.02M purchases" in text
    assert "there are no prices" in page.locator("#f-coverage h3").text_content()
    assert "and prices" in page.locator("#f-spend h3").text_content()


def test_channels_without_spend_are_a_table_and_no_chart(pages, visit):
    page = visit(pages["no_spend"])
    look(page, specs_in(pages["no_spend"]))
    for key in ("spend", "acquisition"):
        assert page.locator(f"#f-{key} .vis").count() == 0
        assert page.locator(f"#f-{key} td", has_text="television").is_visible()
        assert page.locator(f"#f-{key} h3").text_content().startswith("No channel has")
    assert page.locator("[data-card=clv_to_cac]").count() == 0


def test_the_numbers_on_the_cards_are_those_of_the_marts(visit, demo):
    page = visit(built_demo()[1])
    equity, customers = demo.execute(
        "select clv, customers from customer_equity "
        "where is_production and horizon_days = 365"
    ).fetchone()
    (top,) = demo.execute(
        "select share_of_expected_value from customer_value_curve where percentile = 90"
    ).fetchone()
    (version,) = demo.execute(
        "select distinct model_version from model_registry where status = 'champion'"
    ).fetchone()
    (alerts,) = demo.execute(
        "select count(*) from alerts where muted_because is null"
    ).fetchone()
    shown = {
        each.get_attribute("data-card"): each.locator(".value").inner_text()
        for each in page.locator(".card").all()
    }
    assert shown["equity"] == DOLLARS.amount(equity)
    assert shown["per_customer"] == DOLLARS.amount(equity / customers)
    assert shown["top_tenth"] == findings.percent(top)
    wait_for_tab(page, "operations")
    for key, value in (("version", version), ("alerts", str(alerts))):
        value_shown = page.locator(f"[data-card={key}] .value").inner_text()
        assert value_shown.split("\n")[-1].lstrip("✓!✕").strip() == value


def test_keys_and_links_choose_a_tab(pages, visit):
    page = visit(pages["full"], tab="model")
    assert page.locator("#s-model").is_visible()
    assert page.locator("#s-executive").is_hidden()
    page.focus("#t-model")
    for key, tab in [("ArrowRight", "executive"), ("ArrowLeft", "model"),
                     ("Home", "executive"), ("End", "model")]:  # fmt: skip
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.id") == f"t-{tab}"
        assert page.locator(f"#s-{tab}").is_visible()
    page.evaluate("location.hash = '#operations'")
    page.wait_for_selector("#s-operations:not(.away)")
    assert page.locator("[aria-selected=true]").text_content() == "Operations"


def test_marks_and_words_explain_themselves(pages, visit):
    page = visit(pages["full"])
    page.locator("#v-segments-0 .mark-rect.role-mark path").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "Loyal VIP" in page.locator("#vg-tooltip-element").inner_text()
    page.locator("#f-cohorts .term").first.focus()
    assert page.locator("#tip").inner_text() == panels.GLOSSARY["cohort"]
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_a_print_has_every_tab_on_eight_pages(pages, visit):
    page = visit(pages["full"], scheme="dark")
    page.emulate_media(media="print", color_scheme="light")
    for tab in TABS:
        assert page.locator(f"#s-{tab}").is_visible()
    assert page.locator("[role=tablist]").is_hidden()
    assert page.locator("#f-calibration .vis").first.is_visible()
    assert page.locator("#f-calibration table").is_hidden()
    assert page.locator("#f-alerts table").is_visible()
    assert page.locator("#f-segments table").is_visible()
    # A browser prints no colours of backgrounds unless it is told to.
    swatch = page.locator("#f-equity .legend span").first
    adjust = "each => getComputedStyle(each).printColorAdjust"
    assert swatch.evaluate(adjust) == "exact"
    printed = page.pdf(format="A4")
    assert len(printed) > 50_000
    assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) <= 8
