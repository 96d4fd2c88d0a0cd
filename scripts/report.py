"""Write the page: one HTML file over the marts, for people without a BI licence.

usage: report.py [--output PATH] [--target NAME] [--vars YAML]

Reads marts only, through dbt's own connection, so that every target of profiles.yml
serves. The file is self-contained. It holds sums, never a single customer, so its size
does not grow with the customers, and hides groups of few (small_cells.py). Charts are
Vega-Lite: scripts/report_panels.py lists the panels, report_charts.py draws them and
report_findings.py writes the sentences above them.
"""

import argparse
import datetime as dt
import json
import math
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
import yaml
from dbt.adapters.factory import get_adapter_by_type
from dbt.cli.main import dbtRunner
from dbt_common.exceptions import DbtBaseException
from markupsafe import Markup, escape
from merge_vars import defaults
from page_words import Words
from report_findings import (
    NOTHING,
    Row,
    Rows,
    Unit,
    change,
    count,
    date,
    instant,
    log_of,
    month,
    name,
    notices,
    percent,
    plural,
    withheld,
)
from report_panels import (
    FORECASTS,
    GLOSSARY,
    PANELS,
    PRICED,
    READS,
    TABS,
    UNPRICED,
    Legend,
    Panel,
    by_channel,
    marts_of,
)
from small_cells import FEWEST, marks, shown

PROJECT = Path(__file__).resolve().parent.parent
MOST_ROWS = 200

# Rows of each query, or None where one of its marts does not exist.
Found = dict[str, Rows | None]


class ReportError(Exception):
    """The reason why no page can be made, in a sentence."""


# -- Reading


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Warehouse:
    """The marts, through the adapter of a dbt target."""

    def __init__(self, target: str | None, variables: str) -> None:
        options = ["--target", target] if target else []
        command = ["--quiet", "--no-write-json", "parse", *options]
        where = ["--project-dir", str(PROJECT), "--vars", variables]
        os.environ.setdefault("DBT_PROFILES_DIR", str(PROJECT))
        parsed = dbtRunner().invoke([*command, *where])
        if not parsed.success:
            raise ReportError(f"dbt cannot read the project: {parsed.exception}")
        self.adapter = get_adapter_by_type(parsed.result.metadata.adapter_type)
        self.relations = self.existing(parsed.result)

    def existing(self, manifest: Any) -> dict[str, str]:
        """Name of each mart → its relation, of those that are built."""
        wanted = {mart for query in READS.values() for mart in marts_of(query)}
        found = {}
        with self.adapter.connection_named("report"):
            for node in manifest.nodes.values():
                if node.resource_type == "model" and node.name in wanted:
                    place = (node.database, node.schema, node.alias)
                    if self.adapter.get_relation(*place):
                        found[node.name] = node.relation_name
        return found

    def read(self, query: str, columns: dict[str, str]) -> Rows | None:
        """Rows of a query; None where one of its marts is not built."""
        if set(marts_of(query)) - set(self.relations):
            return None
        sql = query.format(**self.relations, **columns)
        with self.adapter.connection_named("report"):
            _, table = self.adapter.execute(sql, fetch=True)
        return [
            dict(zip(table.column_names, map(plain, row), strict=True))
            for row in table.rows
        ]

    def read_all(self, unit: Unit) -> Found:
        """Rows of every query of the page; closes the connections."""
        columns = PRICED if unit.is_priced else UNPRICED
        found = {name: self.read(query, columns) for name, query in READS.items()}
        self.adapter.cleanup_connections()
        return found


# -- Cards


@dataclass(frozen=True)
class Card:
    """A number at the top of a tab.

    Attributes:
        key: its name.
        title: its label; [[words]] are explained.
        value: the number as text.
        note: the comparison under it.
        trend: numbers of its sparkline, oldest first.
        status: ok, warn, fail or nothing.
    """

    key: str
    title: str
    value: str
    note: str = ""
    trend: tuple[float, ...] = ()
    status: str = ""

    @property
    def points(self) -> str:
        """The sparkline in a box of 100 by 30, from zero."""
        highest = max(self.trend, default=0) or 1
        steps = max(len(self.trend) - 1, 1)
        return " ".join(
            f"{100 * step / steps:.1f},{28 - 26 * max(value, 0) / highest:.1f}"
            for step, value in enumerate(self.trend)
        )


def than(now: float | None, before: float | None, when: str) -> str:
    moved = change(now, before)
    if moved is None:
        return ""
    return f"the same as {when}" if moved == "as much" else f"{moved} than {when}"


def key_figures(found: Found, unit: Unit, fewest: int = FEWEST) -> list[Card]:
    """The numbers of the Executive tab that exist and are not of few customers."""
    cards = []
    equity = shown(found["equity"] or (), "customers", fewest)
    if equity and equity[-1] is found["equity"][-1]:
        now, before = equity[-1], equity[-2] if len(equity) > 1 else None
        when = date(before["cutoff_date"]) if before else ""
        title = "[[Customer equity]], 365 days" if unit.is_priced else (
            "Purchases expected, 365 days"
        )  # fmt: skip
        note = than(now["value"], before and before["value"], when)
        if now["low"] is not None:
            span = f"{unit.amount(now['low'])} to {unit.amount(now['high'])}"
            note = f"[[80% range]] {span}" + (f"; {note}" if note else "")
        values = tuple(row["value"] or 0 for row in equity)
        cards.append(Card("equity", title, unit.amount(now["value"]), note, values))
        each = [(row["value"] or 0) / row["customers"] for row in equity]
        note = f"{count(now['customers'])} customers who have bought"
        title = "[[CLV]] per customer" if unit.is_priced else "Purchases per customer"
        cards.append(
            Card("per_customer", title, unit.amount(each[-1]), note, tuple(each))
        )
    if curve := shown(found["curve"] or (), "customers", fewest):
        top = next((row for row in curve if row["percentile"] == 90), None)
        if top and top["share_of_expected_value"] is not None:
            shares = [row["share_of_expected_value"] for row in reversed(curve)]
            cards.append(
                Card(
                    "top_tenth",
                    "Held by the top 10%",
                    percent(top["share_of_expected_value"]),
                    f"of the expected {unit.noun} of all customers",
                    tuple(shares),
                )
            )
    channels = by_channel(found["channels"] or (), unit)
    paid = [row for row in channels if row["acquisition_spend"]]
    spent = sum(row["acquisition_spend"] for row in paid)
    if spent and sum(row["new_customers"] for row in paid) >= fewest:
        value = sum(row["predicted_value"] or 0 for row in paid)
        note = f"{unit.amount(spent)} spent on new customers"
        cards.append(
            Card("clv_to_cac", "[[CLV]] for each 1 spent", f"{value / spent:.1f}", note)
        )
    whole = [row for row in reversed(found["months"] or ()) if not row["is_truncated"]]
    for key, title, people, field, write in (
        ("value", f"Net {unit.noun}", "customers", "value", unit.amount),
        ("new_customers", "New customers", "new_customers", "new_customers", count),
    ):
        if months := shown(whole, people, fewest):
            now, before = months[-1], months[-2] if len(months) > 1 else None
            when = month(before["period_month"]) if before else ""
            cards.append(
                Card(
                    key,
                    f"{title}, {month(now['period_month'])}",
                    write(now[field]),
                    than(now[field], before and before[field], when),
                    tuple(row[field] or 0 for row in months),
                )
            )
    return cards


def state_of_play(found: Found, unit: Unit) -> list[Card]:
    """The status strip of the Operations tab."""
    cards = []
    if runs := found["runs"]:
        last, good = runs[0], runs[0]["status"] == "success"
        cards.append(
            Card("run", "Last run", "succeeded" if good else str(last["status"]),
                 instant(last["started_at"]), status="ok" if good else "fail")
        )  # fmt: skip
    if ages := found["freshness"]:
        worst = max(ages, key=lambda row: row["share_of_limit"] or 0)
        cards.append(
            Card("freshness", "Oldest data", f"{count(worst['age_days'])} days",
                 f"{name(worst['subject'])}, limit {count(worst['limit_days'])}",
                 status=worst["status"])
        )  # fmt: skip
    if scored := found["score_coverage"]:
        all_of = scored[0]
        lacking = all_of["customers"] - all_of["scored_customers"]
        cards.append(
            Card("scored", "Customers scored", percent(all_of["coverage_rate"]),
                 f"{count(all_of['scored_customers'])} of {count(all_of['customers'])}",
                 status="warn" if lacking else "ok")
        )  # fmt: skip
    versions = found["versions"] or ()
    if champion := [row for row in versions if row["status"] == "champion"]:
        now = champion[0]
        cards.append(
            Card("version", "[[Model version]]", now["model_version"],
                 f"[[champion]] since {date(now['champion_since'])}", status="ok")
        )  # fmt: skip
    if (alerts := found["alerts"]) is not None:
        loud = [row for row in alerts if row["muted_because"] is None]
        pages = sum(1 for row in loud if row["severity"] == "page")
        cards.append(
            Card("alerts", "Open alerts", count(len(loud)),
                 f"{plural(pages, 'page')}, {plural(len(loud) - pages, 'ticket')}",
                 status="fail" if pages else "warn" if loud else "ok")
        )  # fmt: skip
    return cards


# -- Writing


@dataclass(frozen=True)
class Figure:
    """A panel with its rows."""

    panel: Panel
    title: str
    headings: list[str]
    table: list[list[str]]
    more: int
    charts: list[Any]
    legend: Legend
    note: str


def one_line(row: Row) -> Row:
    """Replace line breaks in texts, which would end an expression of Vega."""
    return {
        key: " ".join(value.splitlines()) if isinstance(value, str) else value
        for key, value in row.items()
    }


def figure(panel: Panel, found: Found, unit: Unit, fewest: int = FEWEST) -> Figure:
    rows, nothing = found[panel.read], panel.empty
    if panel.read in FORECASTS and (reason := withheld(found["readiness"] or ())):
        nothing = reason
    if rows is None:
        nothing = f"Not built here: the mart {panel.mart} is not in the warehouse."
    rows = panel.prepare([one_line(row) for row in rows or []], unit)
    headings = [unit.words(column.title) for column in panel.columns]
    told: list[Row] = [
        row
        | {
            heading: column.written(row, unit)
            for heading, column in zip(headings, panel.columns, strict=True)
        }
        for row in rows
    ]
    table = [[row[heading] for heading in headings] for row in told]
    note = ""
    if panel.people:
        hidden = marks(rows, panel.people, fewest, panel.whole)
        at = [column.field for column in panel.columns].index(panel.people)
        for cells, mark in zip(table, hidden, strict=True):
            if mark:
                cells[at:] = [mark, *[""] * (len(headings) - at - 1)]
        told = [row for row, mark in zip(told, hidden, strict=True) if not mark]
        if any(hidden):
            note = (
                f"Groups of fewer than {fewest} customers, and cells that reveal"
                " them, are hidden."
            )
            if not any(row[panel.people] for row in told):
                nothing, told = note, []
    title = unit.words(panel.finding(told, unit) if told else nothing)
    drawn = panel.draw(told, unit, headings) if told and panel.draw else []
    drawn = [
        replace(each, spec=titled(each.spec, unit), caption=unit.words(each.caption))
        for each in drawn
    ]
    more = max(len(table) - MOST_ROWS, 0)
    legend = panel.legend(told) if callable(panel.legend) else panel.legend
    legend = [(colour, unit.words(label)) for colour, label in legend]
    note = unit.words(note)
    return Figure(panel, title, headings, table[:MOST_ROWS], more, drawn, legend, note)


def titled(spec: Any, unit: Unit) -> Any:
    """A specification with the titles of its axes in the words of the page."""
    if isinstance(spec, list):
        return [titled(each, unit) for each in spec]
    if not isinstance(spec, dict):
        return spec
    return {
        key: each
        if key == "values"
        else unit.words(each)
        if key == "title" and isinstance(each, str)
        else titled(each, unit)
        for key, each in spec.items()
    }


def explain(text: str, words: Words) -> Markup:
    """Turn [[terms]] into buttons that show their definition."""
    terms = {term.lower(): term for term in GLOSSARY}
    parts = re.split(r"\[\[(.+?)\]\]", text)
    for at, part in enumerate(parts):
        if at % 2 == 0:
            parts[at] = words(part)
            continue
        term, _, shown = part.partition("|")
        key = slug(terms[term.lower()])
        parts[at] = Markup(
            '<button type="button" class="term" aria-describedby="term-{}">{}</button>'
        ).format(key, words(shown or term))
    return Markup("").join(escape(part) for part in parts)


def slug(words: str) -> str:
    return re.sub(r"\W+", "-", words.lower()).strip("-")


def specs(figures: list[Figure]) -> str:
    """Every chart as JSON that no value can break out of."""
    charts = {
        f"{each.panel.key}-{number}": drawn.spec
        | {"description": f"{each.title}. {drawn.caption}".strip()}
        for each in figures
        for number, drawn in enumerate(each.charts)
    }
    written = json.dumps(charts, allow_nan=False, ensure_ascii=True)
    return written.replace("<", "\\u003c")


def bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script."""
    return vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;")


def page(found: Found, unit: Unit, vega: str, fewest: int = FEWEST) -> str:
    """The whole page as text."""
    readiness = found["readiness"] or ()
    if withheld(readiness):
        # Earlier cutoffs may have rows, which do not describe the present.
        found = found | {read: [] for read in FORECASTS if found[read] is not None}
    if money := found["money"]:
        unit = replace(unit, money=money[0]["money"])
    if unit.is_priced and (reconciled := found["currency"]):
        unit = replace(unit, currency=reconciled[0]["currency"] or "")
    figures = [figure(panel, found, unit, fewest) for panel in PANELS]
    segments, versions = found["segments"] or (), found["versions"] or ()
    serves = [row for row in versions if row["status"] == "champion"]
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {
        "explain": lambda text: explain(text, unit.words),
        "slug": slug,
        "worded": unit.words,
    }
    return environment.get_template("report.html.jinja").render(
        tabs=TABS,
        figures=figures,
        cards={
            "executive": key_figures(found, unit, fewest),
            "operations": state_of_play(found, unit),
        },
        glossary=GLOSSARY,
        notices=notices(readiness),
        log=log_of(readiness),
        as_of=date(segments[0]["as_of_date"]) if segments else NOTHING,
        version=serves[0]["model_version"] if serves else "none",
        unit=unit,
        specs=Markup(specs(figures)),
        style=Markup((folder / "report.css").read_text()),
        script=Markup((folder / "report.js").read_text()),
        vega=Markup(vega),
    )


def reason_of(error: BaseException | None) -> str | None:
    """Why there is no page, in one line; None where that is a fault of this script.

    Where a connection cannot be made, dbt fails a second time as it closes it.
    """
    while error and not isinstance(error, (ReportError, DbtBaseException)):
        error = error.__cause__ or error.__context__
    return " ".join(str(error).split()).rstrip(".") if error else None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=PROJECT / "report.html", help="the page"
    )
    parser.add_argument("--target", help="output of profiles.yml")
    parser.add_argument("--vars", default="{}", help="those of the build, as for dbt")
    options = parser.parse_args(arguments)
    try:
        every = defaults() | (yaml.safe_load(options.vars) or {})
        # The currency of the amounts is read from the marts.
        unit = Unit(
            None if every["clv_value"] == "none" else "",
            words=Words(every["clv_words"]),
        )
        with ThreadPoolExecutor(1) as aside:
            vega = aside.submit(bundle)
            warehouse = Warehouse(options.target, options.vars)
            if not warehouse.relations:
                raise ReportError("There are no marts yet: scripts/build.sh makes them")
            found, fewest = warehouse.read_all(unit), every["clv_min_cell"]
            written = page(found, unit, vega.result(), fewest)
    except Exception as error:
        if not (reason := reason_of(error)):
            raise
        print(f"No page: {reason}.", file=sys.stderr)
        return 2
    options.output.write_text(written, encoding="utf-8")
    print(f"The page is {options.output} ({len(written.encode()) / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
