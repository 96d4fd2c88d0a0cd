"""Say in a few lines what a build found and where to look.

usage: summarize.py [--database PATH]
"""

import argparse
import os
import sys
from pathlib import Path

import duckdb

PROJECT = Path(__file__).resolve().parent.parent


def read(connection, query: str) -> dict:
    """Read the first row of a query, by column."""
    cursor = connection.execute(query)
    row = cursor.fetchone()
    return dict(zip((each[0] for each in cursor.description), row or (), strict=False))


def enter(connection, schema: str) -> str:
    """Make a schema the current one; return its full name.

    The full name is needed where the file, which is the database, is named like it.
    """
    database = connection.execute("select current_database()").fetchone()[0]
    connection.execute(f'use "{database}"."{schema}"')
    return f"{database}.{schema}"


def where_to_look(database: Path, schema: str) -> list[str]:
    inside = database.is_relative_to(PROJECT)
    shown = database.relative_to(PROJECT) if inside else database
    lines = [line("where to look", str(shown))]
    for table, meaning in (
        ("customer_lifetime_value", "every customer's future, with its range"),
        ("customer_rfm", "every buyer's segment"),
        ("cohorts", "retention by month of first purchase"),
    ):
        lines.append(line("", f"{schema}.{table}: {meaning}"))
    return lines


def money(amount) -> str:
    return "no prices" if amount is None else f"{amount:,.2f}"


def line(label: str, text: str) -> str:
    return f"  {label:<17}{text}"


def describe_input(connection) -> list[str]:
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
            sum(revenue_amount) filter (is_counted) as revenue,
            sum(line_count) filter (not is_counted) as aside
        from revenue_reconciliation
        """,
    )
    customers = f"{people['customers']:,}"
    if people["buyers"] < people["customers"]:
        customers += f", of whom {people['buyers']:,} have bought"
    period = f"{people['first_date']} to {people['last_date']}"
    lines = [
        line("customers", customers),
        line("orders", f"{people['orders'] or 0:,} from {period}"),
        line("net revenue", money(counted["revenue"])),
        line("as of", str(people["as_of_date"])),
    ]
    if counted["aside"]:
        text = f"{counted['aside']:,} lines, see clv.revenue_reconciliation"
        lines.insert(3, line("set aside", text))
    return lines


def describe_fit(connection) -> list[str]:
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
        return [line("model", "no fit, see clv.model_parameters")]

    def numbers(*names: str) -> str:
        return ", ".join(f"{name} {fit[name]:.4g}" for name in names)

    strata = f" in {fit['stratum']}, 1 of {fit['strata']} strata"
    where = strata if fit["strata"] > 1 else ""
    priced = fit["p"] is not None
    purchases, dropout = {
        "bgnbd": ("BG/NBD in days", ("a", "b")),
        "mbgnbd": ("MBG/NBD in days", ("a", "b")),
        "paretonbd": ("Pareto/NBD, days", ("s", "beta")),
    }[fit["purchase_model"]]
    lines = [
        line(purchases, numbers("r", "alpha", *dropout) + where),
        line("Gamma-Gamma", numbers("p", "q", "gamma") if priced else "no prices"),
    ]
    if fit["flagged"]:
        text = f"{fit['flagged']} flagged, see message in clv.model_parameters"
        lines.append(line("fits", text))
    return lines


def describe_future(connection) -> list[str]:
    future = read(
        connection,
        """
        select sum(expected_purchases_365d) as purchases, sum(clv_365d) as equity
        from customer_lifetime_value
        """,
    )
    priced = future["equity"] is not None
    weight, of = (
        ("clv_365d", "equity") if priced else ("expected_purchases_365d", "purchases")
    )
    segments = connection.execute(
        f"""
        select
            coalesce(segment, 'no segment') as segment,
            count(*) as customers,
            sum({weight}) / sum(sum({weight})) over () as share
        from customer_rfm
        inner join customer_lifetime_value using (customer_id)
        group by 1
        order by share desc nulls last, customers desc, segment
        limit 5
        """
    ).fetchall()
    expected = f"{future['purchases'] or 0:,.0f} purchases expected"
    lines = [line("next 365 days", expected)]
    if priced:
        equity = f"{future['equity']:,.2f}: their value, discounted"
        lines.append(line("customer equity", equity))
    lines.append(line("top segments", f"customers and share of the {of}"))
    for name, customers, share in segments:
        lines.append(line("", f"{name:<22}{customers:>9,}{share or 0:>7.1%}"))
    return lines


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
    options = parser.parse_args(arguments)
    try:
        with duckdb.connect(str(options.database), read_only=True) as connection:
            schema = enter(connection, "clv")
            lines = [
                *describe_input(connection),
                *describe_fit(connection),
                *describe_future(connection),
                *where_to_look(options.database, schema),
            ]
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        print(f"{options.database} has no built marts: {reason}", file=sys.stderr)
        return 1
    print("What was found")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
