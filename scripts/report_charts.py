"""The charts of the page, as Vega-Lite specifications.

Each function takes the rows of its panel and gives one chart or a few. Colours are CSS
variables of the page, so that they follow its theme; legends are the page's too. Every
row carries its values as text under the headings of the panel's table (see
report_panels.py), which is what tooltips show.
"""

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from report_findings import Row, Rows, Unit, percent

Spec = dict[str, Any]

ACCENT, MUTED, INK = "var(--accent)", "var(--muted)", "var(--ink)"
GOOD, WARN, BAD = "var(--good)", "var(--warn)", "var(--bad)"
SERIES = ["var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)"]
HEAT = [f"var(--heat-{step})" for step in range(6)]
AT_TOP = {"labelAngle": 0, "orient": "top"}
HEAT_STEPS = [0.05, 0.15, 0.3, 0.5, 0.75]
STATUS = {
    "ok": GOOD, "success": GOOD, "green": GOOD, "champion": GOOD,
    "warn": WARN, "amber": WARN, "watch": WARN, "canary": WARN, "skipped": WARN,
    "fail": BAD, "error": BAD, "red": BAD, "alert": BAD, "rejected": BAD,
}  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """One drawing: what is beside its neighbours says `caption`."""

    spec: Spec
    caption: str = ""


# -- Pieces


def field(
    of: str, kind: str = "quantitative", title: str | None = None, **more
) -> Spec:
    """A field and how it is read; no legend, since the page has its own."""
    return {"field": of, "type": kind, "title": title, **more}


def day(of: str, rows: Rows, is_monthly: bool = False) -> Spec:
    """A date on an axis, about five times labelled; UTC, so that no zone moves it."""
    ends = [dt.date.fromisoformat(str(row[of])[:10]) for row in rows]
    months = (max(ends) - min(ends)).days / 30
    step = next((each for each in (1, 2, 3, 6, 12) if months <= 6 * each), 24)
    is_long = is_monthly or months > 2
    ticks: Any = {"interval": "month", "step": step} if is_long else 4
    form = "%b %Y" if is_long else "%-d %b %Y"
    axis = {"format": form, "tickCount": ticks, "labelOverlap": True, "grid": False}
    # Within so many pixels of an end, a label stays inside of it.
    axis["labelFlush"] = 20
    return field(of, "temporal", scale={"type": "utc", "padding": 6}, axis=axis)


def amounts(of: str, unit: Unit, title: str | None = None, **scale: Any) -> Spec:
    """An amount on an axis: $779k, not $779,040."""
    symbol = json.dumps(unit.symbol)
    label = (
        f"(datum.value < 0 ? '-' : '') + {symbol} + (abs(datum.value) < 1000"
        " ? format(abs(datum.value), ',.2~f')"
        " : replace(format(abs(datum.value), '.3~s'), 'G', 'B'))"
    )
    axis = {"labelExpr": label, "tickCount": 4}
    return field(of, "quantitative", title, scale=scale, axis=axis)


def numbers(of: str, title: str | None = None) -> Spec:
    """A count on an axis."""
    return amounts(of, Unit(None), title)


def shares(of: str, title: str | None = None, **scale: Any) -> Spec:
    """A share on an axis, as per cent."""
    return field(
        of, "quantitative", title, scale=scale, axis={"format": "~%", "tickCount": 5}
    )


def names(
    of: str, order: Sequence[Any] | None = None, title: str | None = None
) -> Spec:
    """Names down the side, long ones cut."""
    axis = {"labelLimit": 175, "ticks": False, "domain": False, "labelPadding": 6}
    return field(of, "nominal", title, sort=order, axis=axis)


def coloured(of: str, colours: dict[str, str]) -> Spec:
    """Colour by a field."""
    scale = {"domain": list(colours), "range": list(colours.values())}
    return field(of, "nominal", scale=scale, legend=None)


def status(rows: Rows, of: str = "status") -> Spec:
    """Colour by a status; one that is not known is grey."""
    found = sorted({str(row[of]) for row in rows})
    return coloured(of, {each: STATUS.get(each, MUTED) for each in found})


def layer(mark: str, encoding: Spec, data: Rows | None = None, **properties) -> Spec:
    """One mark, over rows of its own or those of the chart."""
    made: Spec = {"mark": {"type": mark, **properties}, "encoding": dict(encoding)}
    return made | ({"data": {"values": list(data)}} if data is not None else {})


def guide(mark: str, encoding: Spec, data: Rows | None = None, **properties) -> Spec:
    """A guide line or mark, without a tooltip."""
    return layer(mark, encoding, data, tooltip=None, **properties)


def chart(
    rows: Rows, tips: Sequence[str], *layers: Spec, height: int = 260, caption: str = ""
) -> Chart:
    """Layers over the rows, with the panel's tooltip; those of no rows are left out."""
    layers = tuple(each for each in layers if each.get("data") != {"values": []})
    tooltip = [{"field": each, "type": "nominal"} for each in tips]
    for each in layers:
        if "tooltip" not in each["mark"]:
            each["encoding"]["tooltip"] = tooltip
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": list(rows)},
        "layer": list(layers),
    }
    return Chart(spec, caption)


def bars(number: int) -> int:
    """Height of so many bars down the side."""
    return max(90, 30 * number + 30)


def horizons(rows: Rows) -> list[int]:
    return sorted({row["horizon_days"] for row in rows})


def ahead(rows: Rows, horizon: int) -> list[Row]:
    return [row for row in rows if row["horizon_days"] == horizon]


Draw = Callable[[Rows, Unit, Sequence[str]], list[Chart]]


# -- Executive


def equity(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    x, y = day("cutoff_date", rows), amounts("value", unit, zero=True)
    known = [row for row in rows if row["low"] is not None]
    span = {"x": x, "y": amounts("low", unit), "y2": {"field": "high"}}
    ranges = [
        guide("area", span, known, color=ACCENT, opacity=0.16),
        guide("rule", span, known, color=ACCENT, opacity=0.5),
    ]
    line = guide("line", {"x": x, "y": y}, color=ACCENT, strokeWidth=2.5)
    dots = layer("point", {"x": x, "y": y}, color=ACCENT, filled=True, size=70)
    ended = [row for row in rows if row["actual"] is not None]
    y = amounts("actual", unit, zero=True)
    actual = layer(
        "point", {"x": x, "y": y}, ended, color=SERIES[1], filled=True, size=80
    )
    return [chart(rows, tips, *ranges, line, dots, actual)]


def cohorts(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    # Cohorts of few customers are noise; they are in the table only.
    large = [row for row in rows if row["customers"] >= 30] or rows
    x, charts = day("cohort_month", large, is_monthly=True), []

    for horizon in horizons(rows):
        at = ahead(large, horizon)
        past = [row for row in at if row["actual"] is not None]
        now, then, actual = (
            {"x": x, "y": amounts(of, unit, zero=True)}
            for of in ("ahead", "expected", "actual")
        )
        layers = [
            guide("line", then, past, color=MUTED, strokeDash=[5, 4]),
            guide("line", now, color=ACCENT, strokeWidth=2.5),
            layer("point", then, past, color=MUTED, filled=True, size=40),
            layer("point", now, color=ACCENT, filled=True, size=40),
            layer("point", actual, past, color=SERIES[1], filled=True, size=80),
        ]
        caption = f"{horizon} days"
        charts.append(chart(at, tips, *layers, height=170, caption=caption))
    return charts


def forecast(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    x = day("week_end_date", rows)
    actual, expected, modelled = (
        {"x": x, "y": amounts(of, unit, zero=True)}
        for of in ("actual", "expected", "modelled")
    )
    behind = [row for row in rows if row["actual"] is not None]
    ahead = [row for row in rows if row["expected"] is not None]
    known = [row for row in ahead if row["low"] is not None]
    span = {"x": x, "y": amounts("low", unit), "y2": {"field": "high"}}
    return [
        chart(
            rows,
            tips,
            guide("area", span, known, color=ACCENT, opacity=0.16),
            guide("line", modelled, ahead, color=MUTED, strokeDash=[5, 4]),
            layer("line", actual, behind, color=INK, strokeWidth=1.5),
            layer("line", expected, ahead, color=ACCENT, strokeWidth=2.5),
            layer("point", actual, behind, color=INK, filled=True, size=14),
            layer("point", expected, ahead, color=ACCENT, filled=True, size=14),
        )
    ]


def months(of: str, rows: Rows) -> Spec:
    """A month on an axis, as wide as a bar."""
    return day(of, rows, is_monthly=True) | {"timeUnit": "utcyearmonth"}


def revenue(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    parts = {"existing_value": ACCENT, "new_value": MUTED}
    long = [{**row, "of": of, "part": row[of]} for row in rows for of in parts]
    x = months("period_month", rows)
    bars = {
        "x": x,
        "y": amounts("part", unit),
        "color": coloured("of", parts),
        "order": field("of", "nominal", sort="ascending"),
    }
    middle = x | {"bandPosition": 0.5}
    spans = {"x": middle, "y": amounts("low", unit), "y2": {"field": "high"}}
    return [
        chart(
            long,
            tips,
            layer("bar", bars),
            guide("rule", spans, rows, color=INK, strokeWidth=1.5),
        )
    ]


def returning(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    known = [row for row in rows if row["amount"] is not None]
    bars = {
        "x": months("period_month", rows),
        "y": amounts("amount", unit),
        "color": coloured("kind", {"returning": ACCENT, "new": MUTED}),
        "order": field("kind", "nominal", sort="descending"),
    }
    return [chart(known, tips, layer("bar", bars))] if known else []


def growth(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    signed = [
        {
            **row,
            "moved": -row["customers"] if row["kind"] == "lapsed" else row["customers"],
        }
        for row in rows
    ]
    colours = {"new": ACCENT, "returned": SERIES[1], "lapsed": MUTED}
    bars = {
        "x": months("period_month", rows),
        "y": numbers("moved"),
        "color": coloured("kind", colours),
    }
    return [chart(signed, tips, layer("bar", bars))]


def retention(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    later = field(
        "months_since",
        "ordinal",
        "Months after the first purchase",
        axis={"labelAngle": 0},
    )
    cohorts = list(dict.fromkeys(row["cohort"] for row in rows))
    place = {"x": later, "y": names("cohort", cohorts)}
    heat = {"type": "threshold", "domain": HEAT_STEPS, "range": HEAT}
    test = {
        "test": f"datum.retention_rate >= {HEAT_STEPS[2]}",
        "value": "var(--heat-ink)",
    }
    cells = {**place, "color": field("retention_rate", scale=heat, legend=None)}
    written = {
        **place,
        "text": field("written", "nominal"),
        "color": {"condition": test, "value": INK},
    }
    # A phone has room for these; the table has every month.
    told = [row for row in rows if row["months_since"] in (1, 2, 3, 6, 9, 12)] or rows
    triangle = chart(
        told,
        tips,
        layer("rect", cells, stroke="var(--card)", strokeWidth=2),
        guide("text", written, fontSize=11),
        height=bars(len(cohorts)),
        caption="Share that bought",
    )
    valued = [row for row in rows if row["cumulative"] is not None]
    if not valued:
        return [triangle]
    lines = {
        "x": later,
        "y": amounts("cumulative", unit, zero=False),
        "detail": field("cohort", "nominal"),
    }
    curves = chart(
        valued,
        tips,
        guide("line", lines, color=MUTED, strokeWidth=1.5),
        layer("point", lines, color=ACCENT, filled=True, size=30),
        height=bars(len(cohorts)),
        caption="Cumulative value per customer, a line per cohort",
    )
    return [triangle, curves]


def spend(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    paid = [r for r in rows if r["acquisition_spend"] and r["predicted_value"]]
    ends = [r[each] for r in paid for each in ("acquisition_spend", "predicted_value")]
    if not ends:
        return []
    domain = [min(ends) / 2, max(ends) * 2]
    log = {"type": "log", "domain": domain, "nice": False}
    x = amounts("acquisition_spend", unit, "Acquisition spend", **log)
    y = amounts("predicted_value", unit, "Value expected in a year", **log)
    even = [{"acquisition_spend": each, "predicted_value": each} for each in domain]
    place = {"x": x, "y": y}
    size = field("new_customers", scale={"range": [80, 900]}, legend=None)
    return [
        chart(
            paid,
            tips,
            guide("line", place, even, color=MUTED, strokeDash=[5, 4]),
            layer("point", {**place, "size": size, "color": status(paid)},
                  filled=True, opacity=0.85),
            guide("text", {**place, "text": field("Channel", "nominal")},
                  color=INK, dy=-20),
            height=300,
        )
    ]  # fmt: skip


def acquisition(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    known = [row for row in rows if row["clv_to_cac"] is not None]
    if not known:
        return []
    order = [r["Channel"] for r in sorted(known, key=lambda r: -r["clv_to_cac"])]
    y = names("Channel", order)
    cost = amounts("customer_acquisition_cost", unit, zero=True)
    ends = {"x": cost, "x2": {"field": "predicted_clv"}, "y": y}
    value = {"x": amounts("predicted_clv", unit), "y": y}
    return [
        chart(
            known,
            tips,
            guide("rule", ends, color=MUTED, strokeWidth=3),
            layer("point", {"x": cost, "y": y}, color=INK, filled=True, size=110),
            layer("point", {**value, "color": status(known)}, filled=True, size=160),
            guide("text", {**value, "text": field("CLV over cost", "nominal")},
                  color=INK, dy=-14),
            height=max(120, 48 * len(known)),
        )
    ]  # fmt: skip


def segments(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    labels = [row["label"] for row in rows]
    long = [
        {**row, "share": row[of], "measure": of}
        for row in rows
        for of in ("share_of_customers", "share_of_expected_value")
    ]
    colours = {"share_of_customers": MUTED, "share_of_expected_value": ACCENT}
    encoding = {
        "y": names("label", labels),
        "yOffset": field("measure", "nominal", sort=list(colours)),
        "x": shares("share"),
        "color": coloured("measure", colours),
    }
    return [chart(long, tips, layer("bar", encoding), height=bars(len(rows)))]


def value_curve(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    x = field("percentile", title="Customers, from the least to the most valuable, %",
              axis={"values": [0, 25, 50, 75, 100]})  # fmt: skip
    y = amounts("expected_value", unit, zero=True)
    marked = [
        {**row, "mark": f"{row['percentile']}%: {unit.amount(row['expected_value'])}"}
        for row in rows
        if row["percentile"] in (50, 90, 99)
    ]
    value = {"x": x, "y": y}
    top = [
        {**row, "mark": unit.words(f"{percent(row['share_of_customers'])} of customers:"
         f" {percent(row['share_of_expected_value'])}")}
        for row in rows
        if row["percentile"] == 90
    ]  # fmt: skip
    both = {
        "x": shares("share_of_customers", "Share of customers, the best first"),
        "y": shares("share_of_expected_value", domain=[0, 1]),
    }
    mark = field("mark", "nominal")
    return [
        chart(
            rows,
            tips,
            layer("area", value, color=ACCENT, opacity=0.2, line={"color": ACCENT}),
            guide("point", value, marked, color=ACCENT, filled=True),
            guide("text", {**value, "text": mark}, marked, color=INK, align="right",
                  dx=-7, dy=-5),
            height=220,
            caption=f"Expected {unit.noun} of the customer at each place",
        ),
        chart(
            rows,
            tips,
            layer("line", both, color=ACCENT, strokeWidth=2.5),
            guide("point", both, top, color=ACCENT, filled=True),
            guide("text", {**both, "text": mark}, top, color=INK, align="left", dx=8,
                  dy=8),
            height=220,
            caption=f"Share of all expected {unit.noun} that the best hold",
        ),
    ]  # fmt: skip


# -- Operations


def freshness(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    highest = max([1.0, *(row["share_of_limit"] or 0 for row in rows)])
    x = shares("share_of_limit", "Share of the limit", domain=[0, 1.05 * highest])
    y = names("label", [row["label"] for row in rows])
    place = {"x": x, "y": y, "color": status(rows)}
    limit = guide("rule", {"x": {"datum": 1}}, color=INK, strokeDash=[4, 3])
    return [
        chart(
            rows,
            tips,
            layer("bar", place, height=14),
            guide("tick", place, height=20, thickness=5),
            limit,
            height=bars(len(rows)),
        )
    ]


def runs(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    encoding = {
        # A place for twelve at least, so that one run is no wall
        "x": field("number", "ordinal", "Runs, oldest first", axis={"labels": False},
                   scale={"domain": list(range(1, max(12, len(rows)) + 1))}),
        "y": numbers("minutes", "Minutes of work"),
        "color": status(rows),
    }  # fmt: skip
    return [chart(rows, tips, layer("bar", encoding, width={"band": 0.7}))]


def drift(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    colours = {
        "same": "var(--heat-0)",
        "watch": "var(--band-watch)",
        "alert": "var(--band-alert)",
        "clock": "var(--card-2)",
    }
    place = {
        "x": field("reference_name", "nominal", axis=AT_TOP),
        "y": names("feature_name", [row["feature_name"] for row in rows]),
    }
    value = field("written", "nominal")
    return [
        chart(
            rows,
            tips,
            layer("rect", {**place, "color": coloured("band", colours)},
                  stroke="var(--card)", strokeWidth=2),
            guide("text", {**place, "text": value}, color=INK),
            height=bars(len({row["feature"] for row in rows})),
        )
    ]  # fmt: skip


def versions(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    y = names("model_version", [row["model_version"] for row in rows])
    start, shown = day("start", rows), status(rows)
    bar = {"x": start, "x2": {"field": "end"}, "y": y, "color": shown}
    dot = {"x": start, "y": y, "color": shown}
    return [
        chart(
            rows,
            tips,
            guide("bar", bar, height=14),
            layer("point", dot, filled=True, size=140),
            height=bars(len(rows)),
        )
    ]


# -- Model quality


def by_horizon(rows: Rows) -> list[tuple[str, str]]:
    """A colour for each horizon, as a legend."""
    labels = [f"{horizon} days" for horizon in horizons(rows)]
    return list(zip(SERIES * 3, labels, strict=False))


def calibration(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    top = max([0.01, *(max(r["mean_probability"], r["observed_rate"]) for r in rows)])
    scale = {"domain": [0, top]}
    x = shares("mean_probability", "Predicted purchase probability", **scale)
    y = shares("observed_rate", "Share who bought", **scale)
    same = [{"mean_probability": each, "observed_rate": each} for each in (0, top)]
    colours = {label.split()[0]: colour for colour, label in by_horizon(rows)}
    place = {"x": x, "y": y, "color": coloured("horizon", colours)}
    return [
        chart(
            rows,
            tips,
            guide("line", {"x": x, "y": y}, same, color=MUTED, strokeDash=[5, 4]),
            guide("line", place, opacity=0.5),
            layer("point", place, filled=True, size=70),
            height=320,
        )
    ]  # fmt: skip


def coverage(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    long = [
        {**row, "share": row[f"coverage_{level}"], "level": str(level)}
        for row in rows
        for level in (50, 80, 90)
    ]
    colours = dict(zip(("50", "80", "90"), SERIES, strict=False))
    levels = [{"level": each, "share": int(each) / 100} for each in colours]
    groups = [row["group_name"] for row in rows]
    x = field("group_name", "nominal", "Repeat purchases so far", sort=groups,
              axis={"labelAngle": 0, "labelLimit": 70})  # fmt: skip
    y = shares("share", "Share within the range", domain=[0, 1])
    colour = coloured("level", colours)
    return [
        chart(
            long,
            tips,
            guide("rule", {"y": y, "color": colour}, levels, strokeDash=[5, 4]),
            layer("point", {"x": x, "y": y, "color": colour}, filled=True, size=90),
            height=300,
        )
    ]  # fmt: skip


def tracking(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    x, charts = day("week_end_date", rows), []
    fitted = [{"week_end_date": row["cutoff_date"]} for row in rows[:1]]
    for kind, caption in (
        ("cumulative", "Since the beginning"),
        ("incremental", "Week by week"),
    ):
        actual = {"x": x, "y": numbers(f"actual_{kind}")}
        expected = {"x": x, "y": numbers(f"expected_{kind}")}
        charts.append(
            chart(
                rows,
                tips,
                guide("rule", {"x": x}, fitted, color=MUTED, strokeDash=[5, 4]),
                layer("line", actual, color=INK, strokeWidth=1.5),
                layer("line", expected, color=ACCENT, strokeWidth=2.5),
                *one_dot(rows, actual, expected),
                height=230,
                caption=caption,
            )
        )  # fmt: skip
    return charts


def one_dot(rows: Rows, *encodings: Spec) -> list[Spec]:
    """A line through one point cannot be seen: draw the point."""
    if len(rows) > 1:
        return []
    return [layer("point", each, color=INK, filled=True) for each in encodings]


def frequency(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    long = [
        {**row, "number": row[of], "measure": of}
        for row in rows
        for of in ("customers", "expected_customers")
    ]
    colours = {"customers": INK, "expected_customers": ACCENT}
    encoding = {
        "x": field("label", "nominal", "Repeat purchases",
                   sort=[row["label"] for row in rows], axis={"labelAngle": 0}),
        "xOffset": field("measure", "nominal", sort=list(colours)),
        "y": numbers("number", "Customers"),
        "color": coloured("measure", colours),
    }  # fmt: skip
    return [chart(long, tips, layer("bar", encoding))]


def activity(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    days = "days_since_last_purchase_from"
    across = sorted({(row[days], row["silence_short"]) for row in rows})
    down = sorted({(r["frequency_from"], r["purchases"]) for r in rows}, reverse=True)
    place = {
        "x": field("silence_short", "nominal", "Days since the last purchase",
                   sort=[label for _, label in across],
                   axis={"labelAngle": 0, "labelOverlap": False}),
        "y": names("purchases", [label for _, label in down], "Repeat purchases"),
    }  # fmt: skip
    chance = "mean_probability_purchase_90d"
    heat = {"type": "threshold", "domain": HEAT_STEPS, "range": HEAT}
    test = {"test": f"datum.{chance} >= {HEAT_STEPS[2]}", "value": "var(--heat-ink)"}
    return [
        chart(
            rows,
            tips,
            layer("rect", {**place, "color": field(chance, scale=heat, legend=None)},
                stroke="var(--card)", strokeWidth=2),
            guide("text", {**place, "text": field("written", "nominal"),
                  "color": {"condition": test, "value": INK}},
                  fontSize=11),
            height=bars(len(down)),
        )
    ]  # fmt: skip


def backtest(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    charts = []
    for horizon in horizons(rows):
        at = sorted(ahead(rows, horizon), key=lambda row: row["mae"])
        place = {
            "y": names("method_name", [row["method_name"] for row in at]),
            "x": amounts("mae", unit, zero=True),
            "color": coloured("kind", {"spec": ACCENT, "other": MUTED}),
        }
        drawn = layer("bar", place, height={"band": 0.6})
        caption = f"{horizon} days"
        charts.append(chart(at, tips, drawn, height=bars(len(at)), caption=caption))
    return charts


def overlay(rows: Rows, unit: Unit, tips: Sequence[str]) -> list[Chart]:
    charts = []
    judged = [row for row in rows if row["overlay_rmse"] is not None]
    for horizon in horizons(judged):
        at = ahead(judged, horizon)
        y = names("Group", [row["Group"] for row in at])
        base = {"x": amounts("baseline_rmse", unit, zero=False, padding=14), "y": y}
        over = {"x": amounts("overlay_rmse", unit), "y": y}
        shown = coloured("used", {"used": GOOD, "not used": MUTED})
        charts.append(
            chart(
                at,
                tips,
                guide("rule", {**base, "x2": {"field": "overlay_rmse"}}, color=MUTED),
                layer("point", base, color=INK, filled=True, size=90),
                layer("point", {**over, "color": shown}, filled=True, size=130,
                      shape="diamond"),
                height=bars(len(at)),
                caption=f"{horizon} days",
            )
        )  # fmt: skip
    return charts
