"""Print a summary of a build and the tables to query.

usage: summarize.py [--database PATH] [--vars YAML]

Figures of fewer customers than var clv_min_cell are not printed.
"""

import argparse
import os
import re
import sys
from pathlib import Path

import duckdb
import yaml
from merge_vars import defaults
from page_words import Words
from small_cells import marks

PROJECT = Path(__file__).resolve().parent.parent


def read(connection, query: str) -> dict:
    """Read the first row of a query, by column."""
    cursor = connection.execute(query)
    row = cursor.fetchone()
    return dict(zip((each[0] for each in cursor.description), row or (), strict=False))


def enter(connection, schema: str) -> str:
    """Make a schema the current one; return its full name, as a statement needs it.

    In full, since the file, which is the database, may be named like the schema.
    """
    (database,) = connection.execute("select current_database()").fetchone()
    (is_reserved,) = connection.execute(
        "select count(*) from duckdb_keywords()"
        " where keyword_category = 'reserved' and keyword_name = lower(?)",
        [database],
    ).fetchone()
    if is_reserved or not re.fullmatch(r"[A-Za-z_]\w*", database):
        database = '"' + database.replace('"', '""') + '"'
    connection.execute(f"use {database}.{schema}")
    return f"{database}.{schema}"


def where_to_look(database: Path, schema: str) -> list[str]:
    """Statements to paste into a DuckDB client."""
    inside = database.is_relative_to(PROJECT)
    shown = database.relative_to(PROJECT) if inside else database
    lines = [line("where to look", str(shown))]
    for table, meaning in (
        ("customer_lifetime_value", "every customer's future, with its range"),
        ("customer_segments", "every customer's segment, and why"),
        ("cohorts", "retention by month of first purchase"),
    ):
        lines.append(line("", f"from {schema}.{table}; -- {meaning}"))
    return lines


def money(amount) -> str:
    return "no prices" if amount is None else f"{amount:,.2f}"


def line(label: str, text: str) -> str:
    return f"  {label:<17}{text}"


def worded(written: str, words: Words) -> str:
    """A line in the words of the page, its label as wide as before."""
    return line(words(written[2:19].rstrip()), words(written[19:]))


def describe_input(connection, schema: str, fewest: int) -> tuple[bool, list[str]]:
    """Whether enough customers have bought to show figures, and the lines."""
    people = read(
        connection,
        """
        select
            count(*) as customers,
            count(first_purchase_date) as buyers,
            sum(order_count) as orders,
            min(first_purchase_date) as first_date,
            max(last_purchase_date) as last_date,
            max(as_of_date) as as_of_date
        from customer_lifetime_value
        """,
    )
    counted = read(
        connection,
        """
        select
            (select sum(revenue_amount) from customers) as revenue,
            (
                select sum(line_count) from revenue_reconciliation where not is_counted
            ) as aside
        """,
    )
    customers = f"{people['customers']:,}"
    if people["buyers"] < people["customers"]:
        customers += f", of whom {people['buyers']:,} have bought"
    is_few = people["buyers"] < fewest
    if is_few:
        customers = f"fewer than {fewest} have bought: figures are hidden"
    period = f"{people['first_date']} to {people['last_date']}"
    lines = [line("customers", customers)]
    if not is_few:
        lines += [
            line("orders", f"{people['orders'] or 0:,} from {period}"),
            line("net revenue", money(counted["revenue"])),
        ]
    if counted["aside"]:
        text = f"{counted['aside']:,} lines: from {schema}.revenue_reconciliation"
        lines.append(line("set aside", text))
    return not is_few, [*lines, line("as of", str(people["as_of_date"]))]


def describe_readiness(connection) -> tuple[bool, list[str]]:
    """Whether there is a forecast, and its caveats."""
    found = connection.execute(
        "select distinct is_forecast, reason, warning from forecast_readiness"
    ).fetchall()
    is_forecast = any(given for given, _, _ in found)
    label = "unchecked" if is_forecast else "no forecast"
    lines = [line(label, reason) for reason in sorted({r for _, r, _ in found if r})]
    lines += [line("warning", text) for text in sorted({w for *_, w in found if w})]
    return is_forecast, lines


def describe_checks(connection) -> list[str]:
    """Compare forecasts with actuals in completed windows."""
    found = connection.execute(
        """
        select horizon_days, count(*), min(bias), max(bias), avg(coverage_80)
        from model_backtest
        where
            group_type = 'all'
            and coverage_80 is not null
            and coalesce(mae_above_model, 0) = 0
            and horizon_days in (90, 365)
        group by 1
        order by 1
        """
    ).fetchall()
    lines = []
    for number, (days, windows, low, high, held) in enumerate(found):
        several = windows > 1
        if low is None:  # nobody bought in any of them
            off = f"no purchases in {'them' if several else 'it'}"
        else:
            off = f"total {low:+.0%}{f' to {high:+.0%}' if several else ''} off"
        checked = f"{days} days, {windows} completed window{'s' * several}: {off}"
        text = f"{checked}, 80 % ranges covered {held:.0%}"
        lines.append(line("" if number else "checked", text))
    return lines


def describe_fit(connection, schema: str) -> list[str]:
    fit = read(
        connection,
        """
        select
            *,
            count(*) over () as strata,
            count(*) filter (is_flagged) over () as flagged
        from model_parameters
        where is_production
        order by customers desc
        limit 1
        """,
    )
    if not fit:
        return [line("model", f"no fit: from {schema}.model_parameters")]

    def numbers(*names: str) -> str:
        return ", ".join(f"{name} {fit[name]:.4g}" for name in names)

    strata = f" in {fit['stratum']}, 1 of {fit['strata']} strata"
    where = strata if fit["strata"] > 1 else ""
    priced = fit["p"] is not None
    purchases, names = {
        "bgnbd": ("BG/NBD in days", ("r", "alpha", "a", "b")),
        "mbgnbd": ("MBG/NBD in days", ("r", "alpha", "a", "b")),
        "paretonbd": ("Pareto/NBD, days", ("r", "alpha", "s", "beta")),
        "bgbb": ("BG/BB in months", ("alpha", "beta", "a", "b")),
        "bgcnbd": (f"BG/CNBD-{fit['k']}, days", ("r", "alpha", "a", "b")),
        "mbgcnbd": (f"MBG/CNBD-{fit['k']}, days", ("r", "alpha", "a", "b")),
    }[fit["purchase_model"]]
    lines = [
        line(purchases, numbers(*names) + where),
        line("Gamma-Gamma", numbers("p", "q", "gamma") if priced else "no prices"),
    ]
    if fit["flagged"]:
        text = f"{fit['flagged']} flagged: from {schema}.model_parameters"
        lines.append(line("fits", text))
    return lines + describe_corrections(connection)


def describe_corrections(connection) -> list[str]:
    """The corrections of the purchase model that serve."""
    said = {
        "season": "season",
        "forgetting": "older purchases count less",
        "alive_floor": "floor under P(alive)",
        "level": "level of past totals",
        "own_purchases": "own purchases",
        "own_value": "own value",
    }
    served = connection.execute(
        """
        select distinct correction from forecast_corrections
        where is_production and is_served
        """
    ).fetchall()
    parts = [text for name, text in said.items() if (name,) in served]
    return [line("corrected by", ", ".join(parts))] if parts else []


def describe_future(connection) -> list[str]:
    """Expected purchases and value of all customers who have bought, with the range."""
    (purchases,) = connection.execute(
        "select sum(expected_purchases_365d) from customer_lifetime_value"
    ).fetchone()
    lines = [line("next 365 days", f"{purchases or 0:,.0f} purchases expected")]
    equity = read(
        connection,
        """
        select
            clv,
            lower_80 * clv / nullif(expected_value, 0) as low,
            upper_80 * clv / nullif(expected_value, 0) as high
        from customer_equity_daily
        where horizon_days = 365 and is_latest and clv is not null
        """,
    )
    if equity:
        # Without costs and with a margin rate of 1 a margin is revenue.
        value = read(
            connection,
            """
            select sum(value_amount) = sum(revenue_amount) as is_revenue from cohorts
            """,
        )
        of = "revenue" if value["is_revenue"] else "margin"
        lines.append(
            line("customer equity", f"{equity['clv']:,.2f} of {of}, discounted")
        )
        if equity["low"] is not None:
            span = f"{equity['low']:,.0f} to {equity['high']:,.0f}"
            lines.append(line("80 % range", span))
    return lines


def describe_segments(
    connection, is_forecast: bool, fewest: int, words: Words
) -> list[str]:
    """The segments with the most expected value, else the most customers."""
    (priced,) = connection.execute(
        "select count(clv_365d) > 0 from segment_summary"
    ).fetchone()
    of = f" and share of the {'equity' if priced else 'purchases'}"
    lines = []
    for scheme, shown in (("clv", 5), ("rfm", 3)):
        heading = f"customers{of if is_forecast else ''}"
        lines.append(line(f"{scheme.upper()} segments", words(heading)))
        found = connection.execute(
            """
            select label, customers, share_of_expected_value
            from segment_summary
            where scheme = ? and customers > 0
            order by share_of_expected_value desc nulls last, customers desc, segment
            """,
            [scheme],
        ).fetchall()
        rows = [{"customers": customers} for _, customers, _ in found]
        hidden = marks(rows, "customers", fewest, whole="")
        for (name, customers, share), mark in list(zip(found, hidden, strict=True))[
            :shown
        ]:
            held = "" if share is None or mark else f"{share:>7.1%}"
            told = f"{words(name):<28}{mark or f'{customers:,}':>9}{held}"
            lines.append(line("", told))
    return lines


def describe_alerts(connection) -> list[str]:
    """The active alerts, pages first: a line per severity and runbook."""
    found = connection.execute(
        """
        select
            severity,
            string_agg(rule || ' (' || subject || ')', ', ' order by rule, subject),
            runbook
        from alerts
        where muted_because is null
        group by severity, runbook
        order by severity, runbook
        """
    ).fetchall()
    return [
        line("" if number else "alerts", f"{severity}: {alerts}, {runbook}")
        for number, (severity, alerts, runbook) in enumerate(found)
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--database",
        type=Path,
        default=Path(os.environ.get("CLV_DUCKDB_PATH") or PROJECT / "warehouse.duckdb"),
        help="the DuckDB file",
    )
    parser.add_argument("--vars", default="{}", help="those of the build, as for dbt")
    options = parser.parse_args(arguments)
    every = defaults() | (yaml.safe_load(options.vars) or {})
    fewest, words = every["clv_min_cell"], Words(every["clv_words"])
    try:
        with duckdb.connect(str(options.database), read_only=True) as connection:
            schema = enter(connection, "clv")
            is_forecast, readiness = describe_readiness(connection)
            is_said, lines = describe_input(connection, schema, fewest)
            lines += readiness
            if is_forecast and is_said:
                lines += describe_fit(connection, schema)
                lines += describe_future(connection)
                lines += describe_checks(connection)
            lines = [worded(each, words) for each in lines]
            lines += describe_segments(connection, is_forecast, fewest, words)
            lines += describe_alerts(connection)
            lines += where_to_look(options.database, schema)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        print(f"{options.database} has no built marts: {reason}", file=sys.stderr)
        return 1
    print("What was found" + (f": {words.title}" if every["clv_words"] else ""))
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
