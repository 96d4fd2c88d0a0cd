"""The panels of the page: query, chart, sentence and table of each.

`READS` are the only queries; they name marts, and sums that a chart needs are columns
of a mart. `PANELS` is the order of the page. To add a panel, add a read and a row.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import report_charts as charts
import report_findings as findings
from report_charts import Draw
from report_findings import (
    Finding,
    Row,
    Rows,
    Unit,
    count,
    date,
    decimal,
    flag,
    month,
    name,
    percent,
    text,
    times,
)
from small_cells import FEWEST

# Columns that differ without prices, where purchases stand in for value.
PRICED = {
    "expected": "expected_value",
    "future": "clv",
    "low": "lower_80 * clv / nullif(expected_value, 0)",
    "high": "upper_80 * clv / nullif(expected_value, 0)",
    "actual": "actual_value_amount",
    # Discounted as the expectation is.
    "discounted": "actual_value_amount * clv / nullif(expected_value, 0)",
    "new_value": "value_amount",
    "of_new": "new_revenue_amount",
    "of_returning": "returning_revenue_amount",
}
UNPRICED = {
    "expected": "expected_purchases",
    "future": "expected_purchases",
    "low": "cast(null as int)",
    "high": "cast(null as int)",
    "actual": "actual_purchases",
    "discounted": "actual_purchases",
    "new_value": "purchase_days",
    "of_new": "new_purchase_days",
    "of_returning": "returning_purchase_days",
}

MART = re.compile(r"\b(?:from|join) {(\w+)}")


def marts_of(query: str) -> list[str]:
    """The marts that a query reads."""
    return sorted(set(MART.findall(query)))


# Name → query. A name in braces is a mart, or a column of the above.
READS: dict[str, str] = {
    "readiness": """
        select horizon_days, status, is_forecast, reason, warning, as_of_date, log_days
        from {forecast_readiness}
        order by horizon_days""",
    # Without costs, and with a margin rate of 1, the margin equals the revenue.
    "money": """
        select
            case
                when sum(value_amount) is null then 'value'
                when sum(value_amount) = sum(revenue_amount) then 'revenue'
                else 'margin'
            end as money
        from {cohorts}""",
    "currency": """
        select max(revenue_currency) as currency from {revenue_reconciliation}""",
    "equity": """
        select cutoff_date, horizon_days, is_production, customers, {future} as value,
            {low} as low, {high} as high, {discounted} as actual, interval_source
        from {customer_equity}
        where horizon_days = 365
        order by cutoff_date""",
    # The current expectation, and the actuals of the last completed window per horizon;
    # whole_: those of all customers, cohorts that are not shown included.
    "cohorts": """
        select now.cohort_month, now.horizon_days, now.customers,
            now.{expected} / now.customers as ahead, past.cutoff_date,
            past.{expected} / past.customers as expected,
            past.{actual} / past.customers as actual, past.customers as past_customers,
            whole.customers as whole_customers, whole.cutoff_date as whole_cutoff,
            whole.{expected} / whole.customers as whole_expected,
            whole.{actual} / whole.customers as whole_actual
        from {cohort_clv} as now
        inner join (select max(cutoff_date) as cutoff_date from {cohort_clv}) as last
            on now.cutoff_date = last.cutoff_date
        left join (
            select horizon_days, max(cutoff_date) as cutoff_date
            from {cohort_clv} where is_completed group by 1
        ) as ended on now.horizon_days = ended.horizon_days
        left join {cohort_clv} as past
            on now.cohort_month = past.cohort_month
            and now.horizon_days = past.horizon_days
            and ended.cutoff_date = past.cutoff_date
        left join {customer_equity} as whole
            on now.horizon_days = whole.horizon_days
            and ended.cutoff_date = whole.cutoff_date
        where now.horizon_days in (30, 90, 180, 365)
        order by now.cohort_month desc, now.horizon_days
        limit 144""",
    "forecast": """
        select week, week_start_date, week_end_date, forecast_value as expected,
            lower_80 as low, upper_80 as high, purchase_model_value as modelled,
            actual_value_amount as actual
        from {cohort_forecast}
        where group_level = 'total'
        order by week""",
    "revenue": """
        select period_month, days, existing_value, new_value, total_value,
            lower_80 as low, upper_80 as high, method
        from {revenue_forecast}
        where total_value is not null
        order by period_month""",
    "months": """
        select period_month, min(is_truncated) as is_truncated,
            sum(case when months_since = 0 then customers else 0 end) as new_customers,
            sum(active_customers) as customers, sum({new_value}) as value
        from (
            select period_month, months_since, customers, active_customers, {new_value},
                case when is_truncated then 1 else 0 end as is_truncated
            from {cohorts}
        ) as cells
        group by period_month
        order by period_month desc
        limit 25""",
    "returning": """
        select period_month, is_truncated, 'new' as kind, new_customers as customers,
            {of_new} as amount
        from {new_and_returning}
        union all
        select period_month, is_truncated, 'returning', returning_customers,
            {of_returning}
        from {new_and_returning}
        order by period_month desc, kind
        limit 50""",
    "retention": """
        select each.cohort_month, months_since, customers, active_customers,
            retention_rate, cumulative_value_per_customer as cumulative
        from {cohorts} as each
        inner join (
            select distinct cohort_month from {cohorts}
            order by cohort_month desc
            limit 13
        ) as latest
            on each.cohort_month = latest.cohort_month
        where months_since between 1 and 12 and not is_truncated
        order by each.cohort_month desc, months_since""",
    "growth": """
        select period_month, is_truncated, 'new' as kind, active_customers,
            new_customers as customers
        from {growth_accounting}
        union all
        select period_month, is_truncated, 'returned', active_customers,
            returned_customers
        from {growth_accounting}
        union all
        select period_month, is_truncated, 'lapsed', active_customers,
            lapsed_customers
        from {growth_accounting}
        order by period_month desc, kind
        limit 75""",
    "channels": """
        select channel, each.cohort_month, acquisition_spend, new_customers,
            predicted_clv, status, payback_days, cac_cap
        from {channel_economics} as each
        inner join (
            select cohort_month from {channel_economics}
            group by cohort_month
            order by cohort_month desc
            limit 12
        ) as latest
            on each.cohort_month = latest.cohort_month
        order by cohort_month desc, channel""",
    "segments": """
        select as_of_date, scheme, segment, label, customers, share_of_customers,
            share_of_expected_value, next_best_action
        from {segment_summary}
        where customers > 0
        order by share_of_expected_value desc, customers desc, segment""",
    "curve": """
        select percentile, expected_value, share_of_customers, share_of_expected_value,
            share_of_customers * total.customers as customers
        from {customer_value_curve} as curve
        cross join (
            select max(customers) as customers
            from {customer_equity} where horizon_days = 365
        ) as total
        order by percentile""",
    "freshness": """
        select subject, newest_date, checked_date, age_days,
            fail_after_days as limit_days, status,
            age_days / nullif(fail_after_days, 0) as share_of_limit
        from {data_freshness}
        order by share_of_limit desc, subject""",
    "runs": """
        select as_of_date, started_at, status, model_version, rows_attempted,
            rows_scored, failed_nodes, duration_seconds
        from {scoring_runs}
        order by started_at desc
        limit 40""",
    "score_coverage": """
        select acquisition_source, is_total, customers, scored_customers, coverage_rate
        from {score_coverage}
        where is_total""",
    "drift": """
        select feature, reference, is_clock, psi, psi_by_chance, is_psi_beyond_chance,
            current_customers, compared_date
        from {feature_drift}
        where bins > 1
        order by is_clock, feature, reference""",
    "alerts": """
        select rule, severity, subject, subjects, measured, breached_limit,
            muted_because, owner, runbook, as_of_date
        from {alerts}
        order by case when muted_because is null then 0 else 1 end, severity, rule""",
    "versions": """
        select model_version, max(status) as status, max(reason) as reason,
            max(decided_on) as decided_on, max(champion_since) as champion_since,
            max(purchase_model) as purchase_model, sum(customers) as customers,
            max(checked.checked_date) as checked_date
        from {model_registry} as versions
        cross join (
            select max(checked_date) as checked_date from {data_freshness}
        ) as checked
        group by model_version
        order by
            case when max(versions.status) in ('champion', 'canary') then 0 else 1 end,
            4 desc, 1 desc
        limit 20""",
    "calibration": """
        select each.cutoff_date, each.horizon_days, decile, customers, mean_probability,
            observed_rate, calibration_error
        from {model_calibration} as each
        inner join (
            select horizon_days, max(cutoff_date) as cutoff_date
            from {model_calibration} group by 1
        ) as last
            on each.horizon_days = last.horizon_days
            and each.cutoff_date = last.cutoff_date
        where decile > 0
        order by each.horizon_days, decile""",
    # Challengers are backtested too; is_current_spec marks the served model.
    "backtest": """
        select each.cutoff_date, each.horizon_days, each.method, group_type,
            group_value, customers, mae, rmse, bias, spearman, coverage_50,
            coverage_80, coverage_90, specs.method is not null as is_current_spec
        from {model_backtest} as each
        inner join (
            select horizon_days, max(cutoff_date) as cutoff_date
            from {model_backtest} group by 1
        ) as last
            on each.horizon_days = last.horizon_days
            and each.cutoff_date = last.cutoff_date
        left join (
            select distinct model_version as method
            from {model_parameters} where is_current_spec and not is_production
        ) as specs on each.method = specs.method
        where group_type in ('all', 'frequency_class')
        order by each.horizon_days, each.method, group_type, group_value""",
    # The oldest fit, with the most weeks out of sample.
    "tracking": """
        select each.cutoff_date, week, week_end_date, is_in_sample,
            expected_cumulative, actual_cumulative, cumulative_error,
            expected_incremental, actual_incremental
        from {model_tracking} as each
        inner join (
            select min(cutoff_date) as cutoff_date from {model_tracking}
        ) as oldest on each.cutoff_date = oldest.cutoff_date
        order by week""",
    "frequency": """
        select each.cutoff_date, frequency, is_or_more, customers, expected_customers
        from {model_frequency} as each
        inner join (
            select max(cutoff_date) as cutoff_date from {model_frequency}
        ) as last on each.cutoff_date = last.cutoff_date
        order by frequency""",
    "activity": """
        select frequency_from, frequency_to, days_since_last_purchase_from,
            days_since_last_purchase_to, customers, mean_probability_alive,
            mean_probability_purchase_90d
        from {customer_activity_grid}
        order by frequency_from, days_since_last_purchase_from""",
    "overlay": """
        select cohort_group, horizon_days, cutoffs, baseline_rmse, overlay_rmse,
            baseline_bias, overlay_bias, is_overlay, reason
        from {overlay_gate}
        order by horizon_days, cohort_group""",
}


# Queries of forecasts and their accuracy: without rows where forecasts are withheld.
FORECASTS = (
    "equity", "cohorts", "forecast", "revenue", "channels", "curve", "calibration",
    "backtest", "tracking", "frequency", "activity", "overlay",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a panel's table, and a line of its tooltips."""

    field: str
    title: str
    write: Callable[[Any], str] | str = text

    def __post_init__(self) -> None:
        # Vega reads dots and brackets in a field's name as a path.
        assert not set(self.title) & set(".[]'\""), self.title

    def written(self, row: Row, unit: Unit) -> str:
        """The value as text; money needs the unit."""
        how = getattr(unit, self.write) if isinstance(self.write, str) else self.write
        return how(row[self.field])


MONEY = "exact"

Legend = Sequence[tuple[str, str]]
Prepare = Callable[[Rows, Unit], Rows]


@dataclass(frozen=True)
class Panel:
    """One figure of the page.

    Attributes:
        key: its name, unique on the page.
        tab: its tab.
        read: its query.
        mart: the mart, for the caption of its table.
        about: description; [[words]] are explained in GLOSSARY.
        finding: function of its rows that gives the sentence above it.
        columns: columns of its table and tooltips.
        empty: sentence without rows.
        draw: its charts; None for a table only.
        legend: (colour, label) of its marks.
        prepare: transformation of the rows before all else.
        is_wide: whether it takes the whole width.
        people: the column that counts customers; columns to its right are hidden in
            rows with few customers.
        whole: the field by which rows are parts of one total, '' if all are.
        is_open: whether its table is open at first, and printed.
    """

    key: str
    tab: str
    read: str
    mart: str
    about: str
    finding: Finding
    columns: Sequence[Column]
    empty: str
    draw: Draw | None = None
    legend: Legend | Callable[[Rows], Legend] = ()
    prepare: Prepare = lambda rows, unit: rows
    is_wide: bool = False
    people: str = ""
    whole: str | None = None
    is_open: bool = False


# -- Transformations of rows


def by_channel(rows: Rows, unit: Unit) -> Rows:
    """Sum the last twelve cohort months of each channel; its status is the newest.

    Without prices there is no value to compare spend with.
    """
    if not unit.is_priced:
        return []
    months = sorted({str(row["cohort_month"]) for row in rows})[-12:]
    channels: dict[str, list[Row]] = {}
    for row in rows:
        if str(row["cohort_month"]) in months:
            channels.setdefault(row["channel"], []).append(row)
    summed = []
    for channel, each in channels.items():
        spent = sum(row["acquisition_spend"] or 0 for row in each)
        new = sum(row["new_customers"] or 0 for row in each)
        value = findings.weighted(each, "predicted_clv", "new_customers")
        cost = spent / new if new and spent else None
        known = [r for r in each if r["status"] != "unknown"]
        newest = max(known, key=lambda r: str(r["cohort_month"]), default={})
        summed.append(
            {
                "channel": channel,
                "acquisition_spend": spent,
                "new_customers": new,
                "predicted_clv": value,
                "predicted_value": None if value is None else value * new,
                "customer_acquisition_cost": cost,
                "clv_to_cac": value / cost if cost and value is not None else None,
                "payback_days": newest.get("payback_days"),
                "cac_cap": newest.get("cac_cap"),
                "status": newest.get("status", "unknown"),
            }
        )
    return sorted(summed, key=lambda row: (-row["acquisition_spend"], row["channel"]))


def of_scheme(scheme: str) -> Prepare:
    """The segments of a scheme, whose names and advice are texts of ours."""

    def prepare(rows: Rows, unit: Unit) -> Rows:
        return [
            row
            | {
                of: row[of] and unit.words(row[of])
                for of in ("label", "next_best_action")
            }
            for row in rows
            if row["scheme"] == scheme
        ]

    return prepare


def oldest_first(rows: Rows, unit: Unit) -> Rows:
    return list(reversed(rows))


def compared(rows: Rows, unit: Unit) -> Rows:
    """Oldest first; without a window that began with few of a cohort's customers."""
    nothing = {"cutoff_date": None, "expected": None, "actual": None}
    return [
        row
        if (row["past_customers"] or 0) >= max(FEWEST, (row["customers"] or 0) / 2)
        else row | nothing
        for row in oldest_first(rows, unit)
    ]


def retained(rows: Rows, unit: Unit) -> Rows:
    return [
        row
        | {
            "cohort": month(row["cohort_month"]),
            "written": percent(row["retention_rate"]),
        }
        for row in rows
        if row["customers"] >= 30
    ]


def of_subjects(rows: Rows, unit: Unit) -> Rows:
    return [
        row
        | {
            "label": f"{findings.sentence(name(row['subject']))}: {row['age_days']} of"
            f" {count(row['limit_days'])} days"
        }
        for row in rows
    ]


def numbered(rows: Rows, unit: Unit) -> Rows:
    return [
        row | {"number": number, "minutes": (row["duration_seconds"] or 0) / 60}
        for number, row in enumerate(reversed(rows), 1)
    ]


REFERENCES = {
    "training": "the fit",
    "last_year": "a year ago",
    "last_scored": "last scores",
}


def banded(rows: Rows, unit: Unit) -> Rows:
    """Classify the drift of each feature; drift explained by chance is none."""

    def band(row: Row) -> str:
        if row["is_clock"]:
            return "clock"
        if not row["is_psi_beyond_chance"] or row["psi"] < 0.1:
            return "same"
        return "watch" if row["psi"] < 0.25 else "alert"

    return [
        row
        | {
            "band": band(row),
            "feature_name": unit.words(name(row["feature"])),
            "reference_name": REFERENCES.get(row["reference"], row["reference"]),
            "written": f"{row['psi']:.2f}",
        }
        for row in rows
    ]


def served(rows: Rows, unit: Unit) -> Rows:
    """Add the last period in which each version served, oldest first."""
    return sorted(
        (
            row
            | {
                "start": row["champion_since"] or row["decided_on"],
                "end": row["checked_date"]
                if row["status"] == "champion"
                else row["decided_on"],
            }
            for row in rows
        ),
        key=lambda row: str(row["start"]),
    )


def with_horizon(rows: Rows, unit: Unit) -> Rows:
    return [row | {"horizon": str(row["horizon_days"])} for row in rows]


def of_ranges(rows: Rows, unit: Unit) -> Rows:
    """The spec's coverage over 90 days, else the longest horizon; all first."""
    known = [
        row for row in rows if row["is_current_spec"] and row["coverage_80"] is not None
    ]
    horizon = findings.usual({row["horizon_days"] for row in known})
    classes = ["0", "1-2", "3-9", "10-29", "30+"]
    at = [
        row | {"group_name": row["group_value"]}
        for row in known
        if row["horizon_days"] == horizon
    ]
    return sorted(at, key=lambda r: ["all", *classes].index(r["group_name"]))


def of_methods(rows: Rows, unit: Unit) -> Rows:
    return [
        row
        | {
            "method_name": name(row["method"]),
            "kind": "spec" if row["is_current_spec"] else "other",
        }
        for row in rows
        if row["group_type"] == "all" and row["mae"] is not None
    ]


def counted(rows: Rows, unit: Unit) -> Rows:
    return [
        row | {"label": f"{row['frequency']}{'+' if row['is_or_more'] else ''}"}
        for row in rows
    ]


def bounds(first: int, last: int | None) -> str:
    """Write a class: 3–4, 5, 15+."""
    if last is None:
        return f"{first}+"
    return str(first) if first == last else f"{first}–{last}"


def classed(rows: Rows, unit: Unit) -> Rows:
    days = "days_since_last_purchase"
    return [
        row
        | {
            "purchases": bounds(row["frequency_from"], row["frequency_to"]),
            "silence": bounds(row[f"{days}_from"], row[f"{days}_to"]),
            "silence_short": f"≤{row[f'{days}_to']}"
            if row[f"{days}_to"] is not None
            else f"{row[f'{days}_from']}+",
            "written": percent(row["mean_probability_purchase_90d"]),
        }
        for row in rows
    ]


def of_groups(rows: Rows, unit: Unit) -> Rows:
    return [row | {"used": "used" if row["is_overlay"] else "not used"} for row in rows]


# -- The page

TABS = {"executive": "Executive", "operations": "Operations", "model": "Model quality"}
A, M, I = charts.ACCENT, charts.MUTED, charts.INK  # noqa: E741
S = charts.SERIES

SEGMENT_COLUMNS = [
    Column("label", "Segment"),
    Column("customers", "Customers", count),
    Column("share_of_customers", "Of customers", percent),
    Column("share_of_expected_value", "Of expected value", percent),
]
SEGMENT_LEGEND = [(M, "Share of customers"), (A, "Share of expected value")]
CHANNEL_LEGEND = [
    (charts.GOOD, "Green"),
    (charts.WARN, "Amber"),
    (charts.BAD, "Red"),
    (M, "Unknown"),
]

PANELS: tuple[Panel, ...] = (
    Panel(
        "equity", "executive", "equity", "customer_equity",
        "Expected value of all customers who have bought, in total, at each [[cutoff]],"
        " discounted; with the [[80% range]] where value is money. Large dots are the"
        " actuals of completed 365 days, discounted likewise.",
        findings.equity,
        [
            Column("cutoff_date", "Cutoff", date),
            Column("customers", "Customers", count),
            Column("value", "Expected", MONEY),
            Column("low", "Low", MONEY),
            Column("high", "High", MONEY),
            Column("actual", "Actual", MONEY),
            Column("interval_source", "Range from"),
        ],
        "No customer has bought yet, so there is no forecast.",
        charts.equity,
        [(A, "Expected over 365 days"), (S[1], "Actual")],
        is_wide=True,
        people="customers",
    ),
    Panel(
        "curve", "executive", "curve", "customer_value_curve",
        "Customers ranked by expected value over 365 days ([[percentile]]).",
        findings.value_curve,
        [
            Column("percentile", "Percentile"),
            Column("customers", "Customers", count),
            Column("expected_value", "Expected", MONEY),
            Column("share_of_customers", "Customers above", percent),
            Column("share_of_expected_value", "Their share", percent),
        ],
        "No customer has bought yet, so there is no ranking.",
        charts.value_curve,
        is_wide=True,
        people="customers",
    ),
    Panel(
        "cohorts", "executive", "cohorts", "cohort_clv",
        "Per customer of each [[cohort]], undiscounted, over the next 30, 90, 180 and"
        " 365 days ([[horizon]]); large dots are actuals of the last completed window."
        " Of the last 36 cohorts; those of fewer than 30 customers are in the table"
        " only.",
        findings.cohorts,
        [
            Column("cohort_month", "Cohort", month),
            Column("horizon_days", "Days", count),
            Column("customers", "Customers", count),
            Column("ahead", "Expected now", MONEY),
            Column("cutoff_date", "Window began", date),
            Column("expected", "Expected then", MONEY),
            Column("actual", "Actual", MONEY),
        ],
        "No customer has bought yet, so there are no cohorts.",
        charts.cohorts,
        [(A, "Expected from now on"), (M, "Expected in the last window"),
         (S[1], "Actual in the last window")],
        compared,
        is_wide=True,
        people="customers",
        whole="horizon_days",
    ),
    Panel(
        "forecast", "executive", "forecast", "cohort_forecast",
        "Weekly value, undiscounted, of the customers who have bought: actual, first"
        " purchases included, and forecast, with the [[80% range]] of a single week."
        " Future first purchases are not included.",
        findings.forecast,
        [
            Column("week_start_date", "From", date),
            Column("week_end_date", "To", date),
            Column("actual", "Actual", MONEY),
            Column("expected", "Forecast", MONEY),
            Column("low", "Low", MONEY),
            Column("high", "High", MONEY),
            Column("modelled", "Sum of customers", MONEY),
        ],
        "Without prices there is no weekly forecast.",
        charts.forecast,
        [(I, "Actual"), (A, "Forecast"), (M, "Sum of the customers' forecasts")],
        is_wide=True,
    ),
    Panel(
        "revenue", "executive", "revenue", "revenue_forecast",
        "Value by month, undiscounted: of customers who have bought, and of those yet"
        " to come, with the [[80% range]] of both. The first month is what is left of"
        " it.",
        findings.revenue,
        [
            Column("period_month", "Month", month),
            Column("days", "Days", count),
            Column("existing_value", "Customers now", MONEY),
            Column("new_value", "Customers to come", MONEY),
            Column("total_value", "Expected", MONEY),
            Column("low", "Low", MONEY),
            Column("high", "High", MONEY),
            Column("method", "New customers by", name),
        ],
        "Without prices there is no forecast by month.",
        charts.revenue,
        [(A, "Customers who have bought"), (M, "Customers to come"), (I, "80% range")],
        is_wide=True,
    ),
    Panel(
        "returning", "executive", "returning", "new_and_returning",
        "Revenue by month, of customers who first bought in it and of the others;"
        " without prices their purchase days.",
        findings.returning,
        [
            Column("period_month", "Month", month),
            Column("kind", "Customers are"),
            Column("customers", "Customers", count),
            Column("amount", "Amount", MONEY),
        ],
        "No customer has bought yet.",
        charts.returning,
        [(A, "Returning customers"), (M, "New customers")],
        oldest_first,
        people="customers",
    ),
    Panel(
        "growth", "executive", "growth", "growth_accounting",
        "Customers who became active by month, new and returned, and those who lapsed."
        " Active customers bought within the inactivity window.",
        findings.growth,
        [
            Column("period_month", "Month", month),
            Column("kind", "Movement"),
            Column("customers", "Customers", count),
        ],
        "No customer has bought yet.",
        charts.growth,
        [(A, "New"), (S[1], "Returned"), (M, "Lapsed")],
        oldest_first,
        people="customers",
    ),
    Panel(
        "retention", "executive", "retention", "cohorts",
        "Share of each [[cohort]] that bought in each later month, and its cumulative"
        " value per customer, first purchases included. Complete months, cohorts of"
        " 30 customers and more.",
        findings.retention,
        [
            Column("cohort_month", "Cohort", month),
            Column("months_since", "Months later", count),
            Column("customers", "Customers", count),
            Column("active_customers", "Bought", count),
            Column("retention_rate", "Share", percent),
            Column("cumulative", "Cumulative value", MONEY),
        ],
        "No month after a first purchase is complete.",
        charts.retention,
        (),
        retained,
        is_wide=True,
        people="active_customers",
    ),
    Panel(
        "segments", "executive", "segments", "segment_summary",
        "[[CLV segments]]: share of customers, and of expected value over 365 days.",
        findings.segments,
        [*SEGMENT_COLUMNS, Column("next_best_action", "Next best action")],
        "No customer is in a segment yet.",
        charts.segments,
        SEGMENT_LEGEND,
        of_scheme("clv"),
        is_wide=True,
        people="customers",
        whole="",
        is_open=True,
    ),
    Panel(
        "rfm", "executive", "segments", "segment_summary",
        "[[RFM]] segments: the same, for comparison.",
        findings.segments,
        SEGMENT_COLUMNS,
        "No customer is in a segment yet.",
        charts.segments,
        SEGMENT_LEGEND,
        of_scheme("rfm"),
        people="customers",
        whole="",
    ),
    Panel(
        "spend", "executive", "channels", "channel_economics",
        "Channels by spend and by expected value of their new customers over 365 days,"
        " last twelve [[cohort]] months; above the line value exceeds spend.",
        findings.spend,
        [
            Column("channel", "Channel", name),
            Column("new_customers", "New customers", count),
            Column("acquisition_spend", "Spend", MONEY),
            Column("predicted_value", "Expected", MONEY),
            Column("status", "Status"),
        ],
        "No ad spend: with input ad_spend, and prices, it is compared with value.",
        charts.spend,
        CHANNEL_LEGEND,
        by_channel,
        people="new_customers",
        whole="",
    ),
    Panel(
        "acquisition", "executive", "channels", "channel_economics",
        "From [[CAC]] (dark) to [[CLV]] (coloured by status), per new customer.",
        findings.acquisition,
        [
            Column("channel", "Channel", name),
            Column("new_customers", "New customers", count),
            Column("customer_acquisition_cost", "Cost per customer", MONEY),
            Column("predicted_clv", "Expected per customer", MONEY),
            Column("clv_to_cac", "CLV over cost", times),
            Column("cac_cap", "Most to pay", MONEY),
            Column("payback_days", "Days to pay back", count),
            Column("status", "Status"),
        ],
        "No ad spend: with input ad_spend, and prices, cost is compared with value.",
        charts.acquisition,
        CHANNEL_LEGEND,
        by_channel,
        is_wide=True,
        people="new_customers",
        whole="",
    ),
    Panel(
        "alerts", "operations", "alerts", "alerts",
        "Breached rules of seeds/reference/alert_rules.csv, with owner and runbook."
        " Muted alerts are explained by another one or a planned refit.",
        findings.alerts,
        [
            Column("rule", "Rule", name),
            Column("severity", "Severity"),
            Column("runbook", "Runbook"),
            Column("owner", "Owner", name),
            Column("subject", "Worst subject"),
            Column("measured", "Measured", decimal),
            Column("breached_limit", "Limit", decimal),
            Column("muted_because", "Muted because", name),
        ],
        "No rule is breached.",
        is_wide=True,
    ),
    Panel(
        "freshness", "operations", "freshness", "data_freshness",
        "Age of data and scores, as a share of the limit at which the check fails.",
        findings.freshness,
        [
            Column("subject", "Subject", name),
            Column("newest_date", "Newest", date),
            Column("checked_date", "Checked on", date),
            Column("age_days", "Age in days", count),
            Column("limit_days", "Limit in days", count),
            Column("status", "Status"),
        ],
        "Nothing has been loaded yet.",
        charts.freshness,
        prepare=of_subjects,
    ),
    Panel(
        "versions", "operations", "versions", "model_registry",
        "[[Model version|Model versions]] and when each was [[champion]].",
        findings.versions,
        [
            Column("model_version", "Version"),
            Column("status", "Status"),
            Column("champion_since", "Champion since", date),
            Column("decided_on", "Decided on", date),
            Column("reason", "Reason"),
            Column("customers", "Customers fitted", count),
        ],
        "No model version is registered yet.",
        charts.versions,
        [(charts.GOOD, "Champion"), (charts.WARN, "Canary"), (charts.BAD, "Rejected"),
         (M, "Retired")],
        served,
    ),
    Panel(
        "runs", "operations", "runs", "scoring_runs",
        "The last 40 runs that tried to score, and their duration.",
        findings.runs,
        [
            Column("started_at", "Started", findings.instant),
            Column("as_of_date", "As of", date),
            Column("status", "Status"),
            Column("model_version", "Version"),
            Column("rows_scored", "Scored", count),
            Column("rows_attempted", "Customers", count),
            Column("failed_nodes", "Failed nodes", count),
            Column("duration_seconds", "Seconds", count),
        ],
        "No run has scored yet.",
        charts.runs,
        prepare=numbered,
    ),
    Panel(
        "drift", "operations", "drift", "feature_drift",
        "Drift of customer behaviour since the reference period ([[PSI]]).",
        findings.drift,
        [
            Column("feature_name", "Feature"),
            Column("reference_name", "Compared with"),
            Column("psi", "PSI", decimal),
            Column("psi_by_chance", "PSI by chance", decimal),
            Column("band", "Verdict"),
            Column("current_customers", "Customers", count),
        ],
        "There is no earlier period to compare with yet.",
        charts.drift,
        [("var(--heat-0)", "Same"), ("var(--band-watch)", "Watch, 0.1 and more"),
         ("var(--band-alert)", "Alert, 0.25 and more"),
         ("var(--card-2)", "Changes with time alone")],
        banded,
    ),
    Panel(
        "calibration", "model", "calibration", "model_calibration",
        "Predicted purchase probability, and share of customers who have bought, by"
        " [[decile]]; the last [[backtest]] window of each horizon.",
        findings.calibration,
        [
            Column("horizon", "Days ahead"),
            Column("cutoff_date", "Cutoff", date),
            Column("decile", "Decile"),
            Column("customers", "Customers", count),
            Column("mean_probability", "Predicted", percent),
            Column("observed_rate", "Bought", percent),
        ],
        "No backtest window is complete yet, so no prediction can be checked.",
        charts.calibration,
        lambda rows: [*charts.by_horizon(rows), (M, "As predicted")],
        with_horizon,
        people="customers",
        whole="horizon_days",
    ),
    Panel(
        "coverage", "model", "backtest", "model_backtest",
        "Share of customers whose [[actual]] value is within their 50, 80 and 90%"
        " ranges; dashed is the nominal share.",
        findings.coverage,
        [
            Column("group_name", "Repeat purchases"),
            Column("horizon_days", "Days ahead", count),
            Column("cutoff_date", "Cutoff", date),
            Column("customers", "Customers", count),
            Column("coverage_50", "In the 50% range", percent),
            Column("coverage_80", "In the 80% range", percent),
            Column("coverage_90", "In the 90% range", percent),
        ],
        "No range can be checked yet: no backtest window is complete, or there are no"
        " prices.",
        charts.coverage,
        [(S[0], "50% range"), (S[1], "80% range"), (S[2], "90% range")],
        of_ranges,
        people="customers",
        whole="",
    ),
    Panel(
        "tracking", "model", "tracking", "model_tracking",
        "Actual repeat [[purchase day|purchase days]] per week, and those expected by"
        " the oldest fit; the weeks right of the dashed line are out of sample.",
        findings.tracking,
        [
            Column("week_end_date", "Week to", date),
            Column("is_in_sample", "In sample", flag),
            Column("actual_cumulative", "Actual so far", count),
            Column("expected_cumulative", "Expected so far", count),
            Column("actual_incremental", "Actual that week", count),
            Column("expected_incremental", "Expected that week", count),
        ],
        "No full week has passed yet.",
        charts.tracking,
        [(I, "Actual"), (A, "Expected")],
        is_wide=True,
    ),
    Panel(
        "frequency", "model", "frequency", "model_frequency",
        "Customers by number of [[repeat purchase|repeat purchases]]: actual, and"
        " expected by the fit.",
        findings.frequency,
        [
            Column("label", "Repeat purchases"),
            Column("customers", "Customers", count),
            Column("expected_customers", "Expected", count),
        ],
        "No customer has bought yet, so there is no fit.",
        charts.frequency,
        [(I, "Actual"), (A, "Expected by the fit")],
        counted,
        people="customers",
        whole="",
    ),
    Panel(
        "activity", "model", "activity", "customer_activity_grid",
        "Mean probability of a purchase within 90 days, by purchase history; the table"
        " has [[P(alive)]] too.",
        findings.activity,
        [
            Column("purchases", "Repeat purchases"),
            Column("silence", "Days since the last"),
            Column("customers", "Customers", count),
            Column("mean_probability_purchase_90d", "Buys in 90 days", percent),
            Column("mean_probability_alive", "P(alive)", percent),
        ],
        "No customer has bought yet, so there is no history.",
        charts.activity,
        prepare=classed,
        people="customers",
        whole="",
    ),
    Panel(
        "backtest", "model", "backtest", "model_backtest",
        "[[Mean absolute error]] per customer of the model and of [[naive method|naive"
        " methods]], in the last [[backtest]] window of each horizon.",
        findings.backtest,
        [
            Column("horizon_days", "Days ahead", count),
            Column("cutoff_date", "Cutoff", date),
            Column("method_name", "Method"),
            Column("mae", "Mean absolute error", MONEY),
            Column("rmse", "Root mean squared error", MONEY),
            Column("bias", "Bias", percent),
            Column("spearman", "Rank correlation", decimal),
        ],
        "No error can be computed: no backtest window is complete, or there are no"
        " prices.",
        charts.backtest,
        [(A, "Model"), (M, "Others")],
        of_methods,
        is_wide=True,
    ),
    Panel(
        "overlay", "model", "overlay", "overlay_gate",
        "Error of the [[baseline]] (dark) and of the [[overlay]] (diamond) per group of"
        " customers: the overlay is used only where its error is lower.",
        findings.overlay,
        [
            Column("cohort_group", "Group", name),
            Column("horizon_days", "Days ahead", count),
            Column("cutoffs", "Windows", count),
            Column("baseline_rmse", "Baseline error", MONEY),
            Column("overlay_rmse", "Overlay error", MONEY),
            Column("is_overlay", "Used", flag),
            Column("reason", "Reason"),
        ],
        "The overlay is off: var clv_overlay enables it.",
        charts.overlay,
        [(I, "Baseline"), (charts.GOOD, "Overlay, used"), (M, "Overlay, not used")],
        of_groups,
        is_wide=True,
    ),
)  # fmt: skip

# Terms explained in place and at the foot of the page.
GLOSSARY = {
    "80% range": "The actual value lies within it with probability 80%.",
    "actual": "Observed after the window has ended.",
    "backtest": "A forecast made as of an earlier day, and compared with the actual"
    " value since.",
    "baseline": "The forecast without the overlay.",
    "CAC": "Customer acquisition cost: spend of a channel over its new customers.",
    "champion": "The model version that serves; a candidate replaces it only after"
    " passing the release checks.",
    "CLV": "Customer lifetime value: the expected discounted value of a customer over"
    " the given days.",
    "CLV segments": "Groups by expected value, loyalty and time since the last"
    " purchase.",
    "cohort": "Customers whose first purchase was in the same month.",
    "customer equity": "The sum of the CLV of all customers who have bought.",
    "cutoff": "Last day whose data were used; the forecast begins the day after.",
    "decile": "A tenth of the customers, ranked by the prediction.",
    "horizon": "Number of days ahead.",
    "mean absolute error": "Mean absolute difference of forecast and actual value per"
    " customer.",
    "model version": "Parameters fitted as of a day, with a model specification.",
    "naive method": "A forecast without a model: the mean of all, that of the same"
    " RFM cell, or the customer's value in the window before.",
    "overlay": "Machine learning that corrects the baseline.",
    "P(alive)": "Probability that a customer has not left for good. It is 100% for"
    " customers who have bought once under BG/NBD: use the purchase probability"
    " instead.",
    "percentile": "Share of customers with a lower expected value.",
    "PSI": "Population stability index: 0 is no change, from 0.1 moderate, from 0.25"
    " strong.",
    "purchase day": "A day with an order; several orders of one day count once.",
    "repeat purchase": "A purchase day after the first one.",
    "RFM": "Recency, frequency, monetary value: the classic scores of 1 to 5.",
}
