"""Load a folder of input files into schema `clv_raw` of the DuckDB file.

usage: load_input.py --input DIR [--database PATH] [--value KIND]

DIR holds transactions.parquet, .csv or .csv.gz and, if you have them, customers (or
users), identities, events, ad_spend, campaign_assignments, consents, customer_status,
text_signals.
Every table ends up with exactly the columns of CONTRACT: an absent optional column is
null, an absent optional file an empty table. All files are checked before anything is
kept: a fault leaves the database as it was, says so in one sentence and exits with 2.
Rows are numbered from the first one after the header.
"""

import argparse
import csv
import gzip
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb

PROJECT = Path(__file__).resolve().parent.parent
SCHEMA = "clv_raw"
# As in profiles.yml. The order of rows is kept, so that faults have row numbers.
SETTINGS = (
    "TimeZone = 'UTC'",
    "disabled_compression_methods = 'fsst,dictionary,alp,alprd'",
    f"memory_limit = '{os.environ.get('CLV_DUCKDB_MEMORY_LIMIT', '6GB')}'",
)
ENDINGS = (".parquet", ".csv", ".csv.gz")
ALIASES = {"users": "customers"}

TEXT, COUNT, FLAG = "varchar", "bigint", "boolean"
MONEY, SCORE, DATE, TIMESTAMP = "decimal(18, 4)", "double", "date", "timestamp"

# Input → column → type, in the order of the tables.
CONTRACT = {
    "transactions": {
        "user_id": TEXT,
        "ts": TIMESTAMP,
        "amount": MONEY,
        "currency": TEXT,
        "channel": TEXT,
        "sku": TEXT,
        "country": TEXT,
        "is_refund": FLAG,
        "variable_cost": MONEY,
        "order_id": TEXT,
        "category": TEXT,
        "discount_amount": MONEY,
    },
    "customers": {
        "user_id": TEXT,
        "signup_ts": TIMESTAMP,
        "country": TEXT,
        "device": TEXT,
        "acquisition_source": TEXT,
        "account_id": TEXT,
    },
    "identities": {"user_id": TEXT, "other_id": TEXT, "linked_at": TIMESTAMP},
    "events": {
        "user_id": TEXT,
        "ts": TIMESTAMP,
        "event_name": TEXT,
        "metadata_json": TEXT,
    },
    "ad_spend": {
        "channel": TEXT,
        "spend_date": DATE,
        "spend": MONEY,
        "new_customers": COUNT,
    },
    "campaign_assignments": {
        "campaign_id": TEXT,
        "user_id": TEXT,
        "arm": TEXT,
        "assigned_at": TIMESTAMP,
        "cost": MONEY,
        "redeemed_at": TIMESTAMP,
    },
    "consents": {
        "user_id": TEXT,
        "channel": TEXT,
        "is_granted": FLAG,
        "updated_at": TIMESTAMP,
    },
    "customer_status": {"user_id": TEXT, "status": TEXT, "effective_at": TIMESTAMP},
    "text_signals": {
        "user_id": TEXT,
        "ts": TIMESTAMP,
        "source": TEXT,
        "sentiment": SCORE,
        "topic": TEXT,
    },
}

# Columns a file must have; every other column may be absent.
REQUIRED = {
    "transactions": ("user_id", "ts", "amount"),
    "customers": ("user_id",),
    "identities": ("user_id", "other_id"),
    "events": ("user_id", "ts", "event_name"),
    "ad_spend": ("channel", "spend_date", "spend"),
    "campaign_assignments": ("campaign_id", "user_id", "arm", "assigned_at"),
    "consents": ("user_id", "channel", "is_granted"),
    "customer_status": ("user_id", "status"),
    "text_signals": ("user_id", "ts", "sentiment"),
}

# Columns whose every value must be present. A transaction without a user is set aside
# and counted downstream, so it is not a fault here.
FILLED = {"transactions": ("ts", "amount")}

REMEDY = {("amount", "has no value"): "if visits have no price, say --value none"}

NUMBERS = ("INT", "INTEGER", "FLOAT", "DOUBLE")  # how DuckDB's numeric types end

EXPECTED = {
    MONEY: "a plain number such as 1234.50",
    SCORE: "a number such as -0.75",
    COUNT: "a whole number",
    FLAG: "true or false",
    DATE: "a date such as 2024-01-31",
    TIMESTAMP: "a date or time such as 2024-01-31 18:30:00",
}


class InputFaultError(Exception):
    """A fault of the input, in one sentence for the person who can mend it."""


@dataclass(frozen=True)
class Source:
    """One input file: the SQL that reads it and the type of each column found."""

    table: str
    path: Path
    sql: str
    types: dict[str, str]

    def name_in_file(self, column: str) -> str | None:
        """Find the file's own spelling of a standard column."""
        spellings = (name for name in self.types if name.strip().lower() == column)
        return next(spellings, None)


def quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def english(names) -> str:
    return ", ".join(names) if names else "none"


def enter_schema(connection) -> None:
    """Make the schema the current one: the file may bear the same name as it."""
    database = connection.execute("select current_database()").fetchone()[0]
    connection.execute(f"use {identifier(database)}.{SCHEMA}")


def find_files(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Find the file of each input, and the names of files that are none."""
    if not folder.is_dir():
        raise InputFaultError(f"the input folder {folder} does not exist")
    found: dict[str, Path] = {}
    unknown = []
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        ending = next((end for end in reversed(ENDINGS) if name.endswith(end)), "")
        table = name.removesuffix(ending)
        table = ALIASES.get(table, table)
        if name.startswith(("readme", ".")):
            continue
        if not ending or table not in CONTRACT:
            unknown.append(path.name)
        elif table in found:
            raise InputFaultError(
                f"{folder} holds the input {table} twice ({found[table].name} and "
                f"{path.name}): keep one of them"
            )
        else:
            found[table] = path
    if "transactions" not in found:
        raise InputFaultError(
            f"{folder} holds no transactions file "
            f"({' or '.join('transactions' + end for end in ENDINGS)})"
        )
    return found, unknown


def csv_header(path: Path) -> list[str]:
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputFaultError(f"{path.name} cannot be read: {error}") from None
    names = [name.strip().lower() for name in header]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InputFaultError(f"{path.name} has the column {twice[0]} twice")
    return header


def open_source(connection, table: str, path: Path) -> Source:
    """Say how to read a file. CSV is read as text, so that faults can be shown."""
    if path.name.lower().endswith(".parquet"):
        sql = f"read_parquet({quoted(path)})"
    else:
        header = csv_header(path)
        if not header:
            raise InputFaultError(f"{table} is empty: {path.name} has no header line")
        columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in header)
        sql = (
            f"read_csv({quoted(path)}, auto_detect = false, header = true, "
            f"delim = ',', quote = '\"', escape = '\"', columns = {{{columns}}})"
        )
    described = connection.execute(f"describe select * from {sql}").fetchall()
    return Source(table, path, sql, {row[0]: row[1].upper() for row in described})


def given(name: str, kind: str, wanted: str) -> str:
    """SQL of a value as the file gives it; an empty text counts as no value."""
    column = identifier(name)
    if wanted != TEXT:
        return f"nullif(trim(cast({column} as varchar)), '')"
    if kind in ("FLOAT", "DOUBLE"):  # ids that pandas turned to floats: 17.0 is '17'
        return (
            f"case when isfinite({column}) and {column} = trunc({column}) "
            f"and abs({column}) < 1e15 then cast(cast({column} as bigint) as varchar) "
            f"when not isnan({column}) then cast({column} as varchar) end"
        )
    if kind.startswith(("STRUCT", "MAP")) or kind.endswith("]"):
        return f"cast(to_json({column}) as varchar)"
    return f"nullif(cast({column} as varchar), '')"


def is_empty(name: str, kind: str, wanted: str) -> str:
    """SQL of whether a file gives no value; of numbers and times without their text."""
    typed = kind.startswith(("DECIMAL", "DATE", "TIMESTAMP")) or kind.endswith(NUMBERS)
    column = identifier(name) if typed and wanted != TEXT else given(name, kind, wanted)
    return f"{column} is null"


def parsed(name: str, kind: str, wanted: str) -> str:
    """SQL of a value in its standard type; null where it cannot be read as one."""
    column, text = identifier(name), given(name, kind, wanted)
    if wanted == TEXT:
        return text
    if wanted == MONEY:
        if kind.startswith("DECIMAL") or kind.endswith(NUMBERS):
            return f"try_cast({column} as {MONEY})"
        # DuckDB reads '5e-17' as 0.0001 of a decimal, but rightly as a double.
        return (
            f"case when contains(lower({text}), 'e') "
            f"then try_cast(try_cast({text} as double) as {MONEY}) "
            f"else try_cast({text} as {MONEY}) end"
        )
    if wanted == SCORE:
        number = f"try_cast({text} as double)"
        return f"case when isfinite({number}) then {number} end"
    if wanted == COUNT:
        number = f"try_cast({text} as decimal(38, 4))"
        return f"case when {number} = trunc({number}) then cast({number} as bigint) end"
    if wanted == FLAG:
        return (
            f"case when lower({text}) in ('true', 't', 'yes', 'y', '1', '1.0') "
            f"then true when lower({text}) in ('false', 'f', 'no', 'n', '0', '0.0') "
            "then false end"
        )
    # Times: a zone, where there is one, is honoured and the result is in UTC.
    if kind.startswith("TIMESTAMP WITH"):
        time = f"{column} at time zone 'UTC'"
    elif kind.startswith(("DATE", "TIMESTAMP")):
        time = f"cast({column} as timestamp)"
    else:
        time = f"try_cast({text} as timestamptz) at time zone 'UTC'"
    in_range = f"({time}) between timestamp '0001-01-01' and timestamp '9999-01-01'"
    return f"case when {in_range} then cast({time} as {wanted}) end"


def columns_of(source: Source) -> dict[str, tuple[str, str]]:
    """Standard column → (SQL as given, SQL parsed), for the columns the file has."""
    pairs = {}
    for column, wanted in CONTRACT[source.table].items():
        name = source.name_in_file(column)
        if name is not None:
            kind = source.types[name]
            pairs[column] = given(name, kind, wanted), parsed(name, kind, wanted)
    return pairs


def check(connection, source: Source, optional: set[str]) -> int:
    """Raise on the first fault of a file; return its number of rows."""
    table, file = source.table, source.path.name
    columns = columns_of(source)
    for column in REQUIRED[table]:
        if column not in columns and column not in optional:
            raise InputFaultError(
                f"{table} has no column {column}, which is required "
                f"({file} has: {english(source.types)})"
            )
    faults = {}  # (column, what is wrong) → SQL that is true for a bad row
    for column, (_, value) in columns.items():
        wanted = CONTRACT[table][column]
        name = source.name_in_file(column)
        empty = is_empty(name, source.types[name], wanted)
        if column in FILLED.get(table, ()) and column not in optional:
            faults[column, "has no value"] = empty
        if wanted != TEXT:
            wrong = f"is not {EXPECTED[wanted]}"
            faults[column, wrong] = f"not {empty} and {value} is null"
    counts = ", ".join(f"count(*) filter ({bad})" for bad in faults.values())
    rows, *bad_rows = connection.execute(
        f"select count(*){', ' if counts else ''}{counts} from {source.sql}"
    ).fetchone()
    if rows == 0 and table == "transactions":
        raise InputFaultError(f"transactions is empty: {file} has no rows")
    found = [(*key, n) for key, n in zip(faults, bad_rows, strict=True) if n]
    if not found:
        return rows
    column, wrong, number = found[0]
    shown = connection.execute(
        f"select row, value from (select row_number() over () as row, "
        f"{columns[column][0]} as value, {faults[column, wrong]} as bad "
        f"from {source.sql}) where bad order by row limit 3"
    ).fetchall()
    examples = "; ".join(
        f"row {row}" if value is None else f"row {row}: {value[:60]!r}"
        for row, value in shown
    )
    others = [f"{name} ({n:,})" for name, _, n in found[1:]]
    raise InputFaultError(
        f"{table}.{column} {wrong} in {number:,} of {rows:,} rows of {file} "
        f"({examples}{'; ...' if number > len(shown) else ''})"
        + (f"; also at fault: {english(others)}" if others else "")
        + (f"; {REMEDY[column, wrong]}" if (column, wrong) in REMEDY else "")
    )


def create(connection, table: str, source: Source | None) -> None:
    """Write one table of the contract, from its file or empty."""
    columns = columns_of(source) if source else {}
    selected = ", ".join(
        f"cast({columns[column][1] if column in columns else 'null'} as {wanted}) "
        f"as {column}"
        for column, wanted in CONTRACT[table].items()
    )
    origin = f"from {source.sql}" if source else "where false"
    connection.execute(f"create or replace table {table} as select {selected} {origin}")


def load(folder: Path, database: Path, value: str | None = None) -> list[str]:
    """Load a folder in one transaction; return the lines to print."""
    files, unknown = find_files(folder)
    optional = {"amount"} if value == "none" else set()
    lines = [f"note: {name} is none of the inputs, ignored" for name in unknown]
    with duckdb.connect(str(database)) as connection:
        for setting in SETTINGS:
            connection.execute(f"set {setting}")
        connection.execute("begin")
        connection.execute(f"create schema if not exists {SCHEMA}")
        enter_schema(connection)
        for table in CONTRACT:
            if table not in files:
                create(connection, table, None)
                continue
            source = open_source(connection, table, files[table])
            rows = check(connection, source, optional)
            create(connection, table, source)
            standard = {source.name_in_file(column) for column in CONTRACT[table]}
            extra = [name for name in source.types if name not in standard]
            line = f"{table:<21}{rows:>12,} rows"
            if table == "transactions":
                first, last = connection.execute(
                    f"select cast(min(ts) as date), cast(max(ts) as date) from {table}"
                ).fetchone()
                line += f"  {first} .. {last}"
            lines.append(line)
            if extra:
                lines.append(
                    f"note: {source.path.name} has columns outside the contract, "
                    f"ignored: {english(extra)}"
                )
        connection.execute("commit")
    absent = [table for table in CONTRACT if table not in files]
    if absent:
        lines.append(f"not given, left empty: {english(absent)}")
    return lines


def first_sentence(error: Exception) -> str:
    """Bring DuckDB's message, which runs over many lines, down to its point."""
    lines = [line.strip() for line in str(error).splitlines()]
    if "Possible fixes:" in lines:
        lines = lines[: lines.index("Possible fixes:")]
        return "; ".join(line for line in lines if line)
    return lines[0]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--input", type=Path, required=True, metavar="DIR", help="of files"
    )
    parser.add_argument(
        "--database",
        type=Path,
        metavar="PATH",
        default=Path(os.environ.get("CLV_DUCKDB_PATH") or PROJECT / "warehouse.duckdb"),
        help="the DuckDB file",
    )
    parser.add_argument(
        "--value", choices=["margin", "revenue", "none"], help="none: no amounts"
    )
    options = parser.parse_args(arguments)
    try:
        lines = load(options.input, options.database, options.value)
    except (InputFaultError, duckdb.Error) as error:
        print(f"Input not loaded: {first_sentence(error)}.", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
