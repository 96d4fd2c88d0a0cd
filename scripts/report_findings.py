"""Text of the page: how numbers are written, and the sentence above each chart.

Pure functions of the rows of a mart. Each sentence is computed from the rows of its
chart; none contains a number of its own.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from page_words import PLAIN, Words

Row = Mapping[str, Any]
Rows = Sequence[Row]

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
NOTHING = "–"

METHODS = {
    "mean": "mean of all",
    "rfm_cell_mean": "mean of the RFM cell",
    "last_horizon": "last period repeated",
    "auto": "this forecast",
    "bgnbd": "BG/NBD",
    "mbgnbd": "MBG/NBD",
    "paretonbd": "Pareto/NBD",
    "bgbb": "BG/BB",
    "bgcnbd": "BG/CNBD",
    "mbgcnbd": "MBG/CNBD",
    "mixed": "model by stratum",
}
NAIVE = ("mean", "rfm_cell_mean", "last_horizon")


# -- How numbers are written


def count(value: float | None) -> str:
    """Write a count: 23,502."""
    return NOTHING if value is None else f"{value:,.0f}"


def decimal(value: float | None) -> str:
    """Write a small number with three digits: 0.0123, 4.57, 1,234."""
    if value is None:
        return NOTHING
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 or not value else f"{value:.3g}"


def percent(share: float | None) -> str:
    """Write a share: 66%, but 0.4% and 99.8%."""
    if share is None:
        return NOTHING
    rounded = round(abs(share) * 100, 1)
    digits = 1 if (0 < rounded < 1 or 99 < rounded < 100) else 0
    return f"{100 * share:.{digits}f}%"


def times(value: float | None) -> str:
    """Write a ratio: 3.2×."""
    return NOTHING if value is None else f"{value:.1f}×"


def date(value: str | dt.date | None) -> str:
    """Write a day: 30 Jun 1998."""
    if value is None:
        return NOTHING
    day = dt.date.fromisoformat(str(value)[:10])
    return f"{day.day} {day:%b %Y}"


def month(value: str | dt.date | None) -> str:
    """Write a month: Jun 1998."""
    return NOTHING if value is None else date(value).split(" ", 1)[1]


def instant(value: str | dt.datetime | None) -> str:
    """Write a time: 22 Nov 2026, 07:35 UTC."""
    return NOTHING if value is None else f"{date(value)}, {str(value)[11:16]} UTC"


def text(value: Any) -> str:
    """Write any other value."""
    return NOTHING if value is None else str(value)


def flag(value: bool | None) -> str:
    """Write a yes or no."""
    return NOTHING if value is None else ("yes" if value else "no")


def name(value: str | None) -> str:
    """Write a code as words: gap_days becomes gap days."""
    if value is None:
        return NOTHING
    base = value.removesuffix("_season")
    if base != value and base in METHODS:
        return f"{METHODS[base]} with season"
    return METHODS.get(value, value.replace("_", " "))


def short(value: float) -> str:
    """Write a number in three digits: 779k, 1.25M."""
    size = abs(value)
    for power, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= power * 0.9995:
            return f"{value / power:.3g}{letter}"
    return f"{value:,.2f}" if size < 100 and value % 1 else f"{value:,.0f}"


@dataclass(frozen=True)
class Unit:
    """The unit of value: a currency, or purchases where there are no prices.

    Attributes:
        currency: its code, '' where the log names none; None without prices.
        money: kind of amount: revenue, margin, or value where that is not known.
        words: those of the page, such as members for customers.
    """

    currency: str | None
    money: str = "value"
    words: Words = PLAIN

    @property
    def is_priced(self) -> bool:
        """Whether there are amounts."""
        return self.currency is not None

    @property
    def symbol(self) -> str:
        """The prefix of an amount."""
        if not self.currency:
            return ""
        return SYMBOLS.get(self.currency, f"{self.currency} ")

    @property
    def noun(self) -> str:
        """The unit as a word."""
        return self.money if self.is_priced else "purchases"

    def amount(self, value: float | None) -> str:
        """Write an amount for a sentence or a card: $779k."""
        if value is None:
            return NOTHING
        sign = "-" if value < 0 else ""
        plain = f"{sign}{self.symbol}{short(abs(value))}"
        return plain if self.is_priced else f"{plain} purchases"

    def exact(self, value: float | None) -> str:
        """Write an amount for a table: $779,039.92."""
        if value is None:
            return NOTHING
        sign, digits = ("-" if value < 0 else ""), (2 if self.is_priced else 1)
        return f"{sign}{self.symbol}{abs(value):,.{digits}f}"


# -- Parts of sentences


def change(now: float | None, before: float | None) -> str | None:
    """Say how much more or less: 8% less, 0.3% more; None without a comparison."""
    if not before or now is None:
        return None
    share = now / before - 1
    written = percent(abs(share))
    if written in ("0%", "0.0%"):
        return "as much"
    return f"{written} {'more' if share > 0 else 'less'}"


def weighted(rows: Rows, field: str, weight: str) -> float | None:
    """Mean of a field over the rows that have it."""
    known = [row for row in rows if row[field] is not None and row[weight]]
    total = sum(row[weight] for row in known)
    return sum(row[field] * row[weight] for row in known) / total if total else None


def usual(horizons: Collection[int]) -> int | None:
    """The horizon to report where there are several: 90 days, else the longest."""
    return 90 if 90 in horizons else max(horizons, default=None)


def plural(number: float, thing: str, things: str | None = None) -> str:
    """Count a thing: 1 alert, 2 alerts, no alert."""
    if number == 0:
        return f"no {thing}"
    return f"{count(number)} {thing if number == 1 else things or thing + 's'}"


def sentence(words: str) -> str:
    """Begin with a capital."""
    return words[:1].upper() + words[1:]


Finding = Callable[[Rows, Unit], str]


# -- Readiness of the forecasts


def withheld(rows: Rows) -> str | None:
    """The reason why there is no forecast; None where there is one."""
    reasons = [row["reason"] for row in rows if not row["is_forecast"]]
    return f"There is no forecast: {reasons[0]}" if reasons else None


def notices(rows: Rows) -> list[str]:
    """The notices on the readiness of the horizons, a sentence each."""
    reasons = {row["reason"] for row in rows if row["is_forecast"] and row["reason"]}
    said = [withheld(rows), *sorted(reasons)]
    said += [f"This log {each}" for each in {row["warning"] for row in rows} if each]
    return [f"{sentence(each)}." for each in said if each]


def log_of(rows: Rows) -> str:
    """The data that the forecasts are made from, and the horizons that are checked."""
    if not rows:
        return ""
    first = dt.date.fromisoformat(str(rows[0]["as_of_date"])[:10])
    said = f"data since {date(first - dt.timedelta(days=rows[0]['log_days'] or 0))}"
    checked = [str(row["horizon_days"]) for row in rows if row["status"] == "ready"]
    if checked:
        said += f" · forecasts checked over {', '.join(checked)} days"
    return said


# -- Executive


def equity(rows: Rows, unit: Unit) -> str:
    now = rows[-1]
    said = f"Customers' expected value is {unit.amount(now['value'])}"
    said += f" over the next {now['horizon_days']} days"
    if len(rows) > 1 and (moved := change(now["value"], rows[-2]["value"])):
        so = "the same as" if moved == "as much" else f"{moved} than"
        said += f", {so} on {date(rows[-2]['cutoff_date'])}"
    return said


def cohorts(rows: Rows, unit: Unit) -> str:
    # Rows of few customers are left out, so the smallest here are not few.
    enough = min(row["customers"] for row in rows)
    ended = [
        row
        for row in rows
        if row["whole_actual"] is not None and row["whole_customers"] >= enough
    ]
    if not ended:
        newest = max(rows, key=lambda row: (row["cohort_month"], row["horizon_days"]))
        return (
            f"The cohort of {month(newest['cohort_month'])} has an expected value of"
            f" {unit.amount(newest['ahead'])} per customer over"
            f" {newest['horizon_days']} days; no window has ended yet"
        )
    whole = max(ended, key=lambda row: row["horizon_days"])
    moved = change(whole["whole_expected"], whole["whole_actual"])
    compared = "the same as" if moved == "as much" else moved and f"{moved} than"
    return (
        f"All customers over {whole['horizon_days']} days from"
        f" {date(whole['whole_cutoff'])}: {unit.amount(whole['whole_expected'])}"
        f" each expected, {compared or 'compared with'} the actual"
        f" {unit.amount(whole['whole_actual'])}"
    )


def forecast(rows: Rows, unit: Unit) -> str:
    ahead = [row["expected"] for row in rows if 0 < row["week"] <= 13]
    behind = [row["actual"] for row in rows if -13 < row["week"] <= 0]
    if not ahead:
        return "There are past weeks, but no forecast of future ones"
    said = f"Forecast value of existing customers: {unit.amount(sum(ahead))}"
    said += f" in the next {plural(len(ahead), 'week')}"
    if len(behind) == len(ahead):
        said += f"; actual value of the last {len(behind)}: {unit.amount(sum(behind))}"
    return said


def revenue(rows: Rows, unit: Unit) -> str:
    whole = [row for row in rows if row["days"] >= 28] or rows
    first = whole[0]
    total = sum(row["total_value"] for row in rows)
    to_come = sum(row["new_value"] for row in rows)
    said = f"Expected in {month(first['period_month'])}:"
    said += f" {unit.amount(first['total_value'])}, 80% range"
    said += f" {unit.amount(first['low'])} to {unit.amount(first['high'])}"
    if total > 0:
        said += f"; in {plural(len(rows), 'month')} {unit.amount(total)},"
        said += f" {percent(to_come / total)} of it from customers yet to come"
    return said


def returning(rows: Rows, unit: Unit) -> str:
    whole = [row for row in rows if not row["is_truncated"]] or rows
    last = max(row["period_month"] for row in whole)
    shares = {}
    for row in whole:
        when = row["period_month"]
        sums = shares.setdefault(when, {"new": 0, "returning": 0})
        sums[row["kind"]] += row["amount"] or 0
    now = shares[last]
    total = sum(now.values())
    of = "revenue" if unit.is_priced else unit.words("purchase days")
    if total <= 0:
        return f"There was no {of} in {month(last)}"
    said = f"Returning customers made up {percent(now['returning'] / total)}"
    said += f" of {of} in {month(last)}"
    year = str(int(str(last)[:4]) - 1) + str(last)[4:7]
    past = next((sums for when, sums in shares.items() if str(when)[:7] == year), None)
    if past and sum(past.values()) > 0:
        share = past["returning"] / sum(past.values())
        said += f", {percent(share)} a year before"
    return said


def growth(rows: Rows, unit: Unit) -> str:
    whole = [row for row in rows if not row["is_truncated"]] or rows
    months = sorted({row["period_month"] for row in whole})
    last = [row for row in whole if row["period_month"] == months[-1]]
    said = f"{count(last[0]['active_customers'])} customers were active at the end of"
    said += f" {month(months[-1])}"
    year = [row for row in whole if row["period_month"] in months[-12:]]
    moved = {
        kind: sum(row["customers"] for row in year if row["kind"] == kind)
        for kind in ("new", "returned", "lapsed")
    }
    span = plural(len(months[-12:]), "month")
    said += f"; in {span}" + ",".join(
        f" {count(number)} {'were new' if kind == 'new' else kind}"
        for kind, number in moved.items()
        if number
    )
    return said if any(moved.values()) else said + " nobody moved"


def retention(rows: Rows, unit: Unit) -> str:
    longest = max(row["months_since"] for row in rows)
    cohorts = {row["cohort_month"] for row in rows if row["months_since"] == longest}
    said = []
    for after in dict.fromkeys((1, longest)):
        at = [
            row
            for row in rows
            if row["months_since"] == after and row["cohort_month"] in cohorts
        ]
        share = weighted(at, "retention_rate", "customers")
        said.append(f"{percent(share)} bought in month {after}")
    text = f"Of {plural(len(cohorts), 'cohort')} with {plural(longest, 'month')}, "
    value = weighted(at, "cumulative", "customers")
    if value is not None:
        said.append(f"{unit.amount(value)} per customer by then")
    return text + ", ".join(said)


def spend(rows: Rows, unit: Unit) -> str:
    paid = [row for row in rows if row["acquisition_spend"]]
    if not paid:
        return "No channel has acquisition spend"
    total = sum(row["acquisition_spend"] for row in paid)
    value = sum(row["predicted_value"] or 0 for row in paid)
    verb = "is expected to return" if value >= total else "is expected to return only"
    return (
        f"{unit.amount(total)} of acquisition spend {verb}"
        f" {unit.amount(value)}, {value / total:.1f} for each 1 spent"
    )


def acquisition(rows: Rows, unit: Unit) -> str:
    known = [row for row in rows if row["clv_to_cac"] is not None]
    if not known:
        return "No channel has a cost per new customer"
    best = max(known, key=lambda row: row["clv_to_cac"])
    worst = min(known, key=lambda row: row["clv_to_cac"])
    said = f"{name(best['channel'])} returns {best['clv_to_cac']:.1f} times its cost"
    if worst is not best:
        said += f", {name(worst['channel'])} {worst['clv_to_cac']:.1f} times"
    losing = sum(1 for row in known if row["clv_to_cac"] < 1)
    return sentence(said) + (f"; {losing} of {len(known)} lose money" * bool(losing))


def segments(rows: Rows, unit: Unit) -> str:
    top = max(rows, key=lambda row: row["share_of_expected_value"] or 0)
    share = top["share_of_expected_value"]
    if share is None:
        top = max(rows, key=lambda row: row["customers"])
        return f"{top['label']}: {percent(top['share_of_customers'])} of customers"
    if not share:
        return f"No segment has expected {unit.noun}"
    return (
        f"{top['label']}: {percent(top['share_of_customers'])} of customers,"
        f" {percent(share)} of expected {unit.noun}"
    )


def value_curve(rows: Rows, unit: Unit) -> str:
    top = next((row for row in rows if row["percentile"] == 90), rows[-1])
    if top["share_of_expected_value"] is None:
        return f"No customer has expected {unit.noun}"
    return (
        f"The top {percent(top['share_of_customers'])} of customers hold"
        f" {percent(top['share_of_expected_value'])} of expected {unit.noun}"
    )


# -- Operations


def freshness(rows: Rows, unit: Unit) -> str:
    late = [row for row in rows if row["status"] != "ok"]
    if not late:
        return "Data and scores are within their age limits"
    worst = max(late, key=lambda row: row["share_of_limit"] or 0)
    return (
        f"{sentence(name(worst['subject']))}:"
        f" {count(worst['age_days'])} days old, limit {count(worst['limit_days'])}"
    )


def runs(rows: Rows, unit: Unit) -> str:
    good = sum(1 for row in rows if row["status"] == "success")
    last = rows[-1]
    so = "succeeded" if last["status"] == "success" else f"ended with {last['status']}"
    if len(rows) == 1:
        return f"The only scoring run {so}"
    return f"{good} of {len(rows)} scoring runs succeeded; the last one {so}"


def drift(rows: Rows, unit: Unit) -> str:
    for band, so in (("alert", "drifted strongly"), ("watch", "drifted slightly")):
        moved = [row for row in rows if row["band"] == band]
        if moved:
            names = sorted({name(row["feature"]) for row in moved})
            since = sorted({row["reference_name"] for row in moved})
            listed = sentence(", ".join(names))
            return f"{listed} {so}, compared with {', '.join(since)}"
    return "No feature has drifted beyond chance"


def alerts(rows: Rows, unit: Unit) -> str:
    loud = [row for row in rows if row["muted_because"] is None]
    pages = sum(1 for row in loud if row["severity"] == "page")
    if not loud:
        quiet = f"; {len(rows)} muted" if rows else ""
        return f"No alert is open{quiet}"
    said = f"{sentence(plural(len(loud), 'alert'))} open"
    return said + (f", {plural(pages, 'page')}" if pages else "")


def versions(rows: Rows, unit: Unit) -> str:
    champion = [row for row in rows if row["status"] == "champion"]
    if not champion:
        return "No model version serves"
    now = champion[-1]
    return f"{now['model_version']} serves since {date(now['champion_since'])}"


# -- Model quality


def calibration(rows: Rows, unit: Unit) -> str:
    error = weighted(rows, "calibration_error", "customers")
    worst = max(rows, key=lambda row: row["calibration_error"])
    return (
        f"Purchase probabilities are off by {100 * error:.1f} points on average,"
        f" {100 * worst['calibration_error']:.1f} at worst"
    )


def coverage(rows: Rows, unit: Unit) -> str:
    everyone = next((row for row in rows if row["group_type"] == "all"), rows[0])
    return (
        f"{percent(everyone['coverage_80'])} of actual values are within the 80% range"
        f" over {everyone['horizon_days']} days"
    )


def tracking(rows: Rows, unit: Unit) -> str:
    after = [row for row in rows if not row["is_in_sample"]]
    shown = after or rows
    expected = sum(row["expected_incremental"] or 0 for row in shown)
    actual = sum(row["actual_incremental"] or 0 for row in shown)
    if not expected:
        return "No customer has bought again yet"
    when = (
        f"for {plural(len(after), 'week')} after the fit" if after else "within the fit"
    )
    moved = change(expected, actual)
    if moved in (None, "as much"):
        return f"Repeat purchases expected {when} were as many as the actual"
    return f"Repeat purchases expected {when} were {moved} than the actual"


def frequency(rows: Rows, unit: Unit) -> str:
    total = sum(row["customers"] for row in rows)
    if not total:
        return "No customer has bought yet"
    off = sum(abs(row["customers"] - row["expected_customers"]) for row in rows) / 2
    return (
        f"The fit misplaces {percent(off / total)} of customers by number of repeat"
        " purchases"
    )


def activity(rows: Rows, unit: Unit) -> str:
    total = sum(row["customers"] for row in rows)
    likely = sum(
        row["customers"] for row in rows if row["mean_probability_purchase_90d"] >= 0.5
    )
    return (
        f"{percent(likely / total)} of customers are more likely than not to buy"
        " within 90 days"
    )


def backtest(rows: Rows, unit: Unit) -> str:
    horizon = usual({row["horizon_days"] for row in rows})
    at = [row for row in rows if row["horizon_days"] == horizon]
    naive = [row for row in at if row["method"] in NAIVE and row["mae"]]
    model = next((row for row in at if row["is_current_spec"]), None)
    if not naive or model is None:
        return "No naive method can be compared yet"
    best = min(naive, key=lambda row: row["mae"])
    gain = 1 - model["mae"] / best["mae"]
    where = "smaller" if gain >= 0 else "larger"
    return (
        f"Over {horizon} days the model's error is {percent(abs(gain))} {where} than"
        f" that of the best naive method, {name(best['method'])}"
    )


def overlay(rows: Rows, unit: Unit) -> str:
    groups = {row["cohort_group"] for row in rows} - {"everyone"} or {"everyone"}
    used = groups & {row["cohort_group"] for row in rows if row["is_overlay"]}
    if not used:
        return "The overlay beats the baseline in no group and is not used"
    return f"The overlay is used in {len(used)} of {len(groups)} groups of customers"
